"""Ray Serve with the replicas of the benchmarks; runs in the environment of `peers.py`.

python serve_ray.py step FILE   replicas that hold a request as long as its path says, one at a time, scaled from 1 to 8
                                by Serve's defaults; how many there are goes to FILE, once a second
python serve_ray.py noop        one replica that does nothing

Prints its port once it answers.
"""

import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

NOOP = (
    b'{"id":"x","object":"chat.completion","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12}}'
)
REPLICAS_MAX = 8


class Holds:
    async def __call__(self, request: Request) -> PlainTextResponse:
        import asyncio

        began_s = time.perf_counter()
        await asyncio.sleep(float(request.url.path.rpartition("/")[2]))
        return PlainTextResponse(f"{time.perf_counter() - began_s:.7f}")


class Nothing:
    async def __call__(self, request: Request) -> Response:
        await request.body()
        return Response(NOOP, media_type="application/json")


def main() -> None:
    port = free_port()
    ray.init(
        include_dashboard=False, configure_logging=True, logging_level=logging.ERROR, log_to_driver=False
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    if sys.argv[1] == "step":
        scaling = {"min_replicas": 1, "max_replicas": REPLICAS_MAX}
        deployed = serve.deployment(
            autoscaling_config=scaling, max_ongoing_requests=1, ray_actor_options={"num_cpus": 0.01}
        )
        served: Any = deployed(Holds)
    else:
        served = serve.deployment(Nothing)
    serve.run(served.bind(), name="chat")
    print(port, flush=True)
    ends = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.set())
    note = counting(Path(sys.argv[2])) if sys.argv[1] == "step" else lambda: None
    while not ends.wait(1.0):
        note()
    serve.shutdown()
    ray.shutdown()


def counting(file: Path) -> Callable[[], None]:
    """Appends (instant, replicas that exist, those of them that answer)."""

    def note() -> None:
        states: list[dict[Any, int]] = [
            {**d.replica_states} for a in serve.status().applications.values() for d in a.deployments.values()
        ]
        there = sum(count for each in states for count in each.values())
        ready = sum(each.get("RUNNING", 0) for each in states)
        with file.open("a") as out:
            out.write(json.dumps([time.time(), there, ready]) + "\n")

    return note


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    main()
