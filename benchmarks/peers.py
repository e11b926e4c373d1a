"""The environment of what Suanli is measured beside: `.venv-peers`, made once from `peers.txt`."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-peers"
WANTED = Path(__file__).with_name("peers.txt")


def python() -> str:
    """Its interpreter; installed first where it is not there, or was made from another list.

    Raises CalledProcessError where pip cannot install it; it has said why.
    """
    stamp = FOLDER / "made-from"
    wanted = hashlib.sha256(WANTED.read_bytes()).hexdigest()
    interpreter = FOLDER / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {WANTED.name} into {FOLDER.name} (a minute or two) ...", file=sys.stderr)
        venv.create(FOLDER, with_pip=True, clear=True)
        command = [str(interpreter), "-m", "pip", "install", "--quiet", "-r", str(WANTED)]
        subprocess.run(command, check=True)
        stamp.write_text(wanted)
    return str(interpreter)


if __name__ == "__main__":
    print(python())
