"""Renew constraints.txt: every package that any extra needs, pinned, for Linux and macOS.

No hosts, no paths, no hashes: the same pins serve PyPI, a mirror and a folder of wheels. CUDA's
libraries are left to torch, whose own metadata pins them, so that one file serves CPU and CUDA builds.
"""

import re
import subprocess
import sys

from bootstrap import CONSTRAINTS, ROOT, VENV, pip_settings, uv_environment

HEADER = "# Every pin, for all extras. Renewed by `make constraints`; don't edit by hand.\n"
LEFT_TO_TORCH = re.compile(r"^(nvidia-(?!ml-py)|cuda-|triton)")
LOCAL_VERSION = re.compile(r"(==[^\s+]+)\+[^\s]+")


def main() -> int:
    # An extra index may hold wheels for this machine only; the pins must hold everywhere.
    settings = {option: value for option, value in pip_settings().items() if option != "extra-index-url"}
    compiled = subprocess.run(
        [str(VENV / "bin" / "uv"), "pip", "compile", "pyproject.toml", "--all-extras", "--universal",
         "--python-version", "3.11", "--upgrade", "--quiet", "--no-header", "--annotation-style", "line"],
        cwd=ROOT, env=uv_environment(settings), stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if compiled.returncode == 0:
        CONSTRAINTS.write_text(HEADER + pins(compiled.stdout))
    return compiled.returncode


def pins(compiled: str) -> str:
    kept = (line for line in compiled.splitlines() if not LEFT_TO_TORCH.match(line))
    return "".join(LOCAL_VERSION.sub(r"\1", line).rstrip() + "\n" for line in kept)


if __name__ == "__main__":
    sys.exit(main())
