"""`python -m suanli.serving.gateway --dir DIR`: a gateway, until SIGTERM."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from suanli.domain.errors import SuanliError
from suanli.serving.gateway.supervisor import Options, supervise


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "suanli.serving.gateway", description="Routes requests to services' replicas."
    )
    parser.add_argument(
        "--dir", type=Path, required=True, help="holds routes.json, and what the workers tell"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tls-cert", help="a file in PEM")
    parser.add_argument("--tls-key", help="a file in PEM")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error("--workers must be at least 1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s gateway: %(levelname)s %(message)s")
    options = Options(
        folder=given.dir.resolve(),
        host=given.host,
        port=given.port,
        workers=given.workers,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
    )
    try:
        asyncio.run(supervise(options))
    except SuanliError as error:
        print(f"{error.sentence} {error.remedy}".strip(), file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
