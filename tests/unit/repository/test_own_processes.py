"""What Suanli starts of its own imports nothing from the folder in which it starts: that is the user's."""

import ast
import subprocess
import sys
from pathlib import Path

from suanli.models.fetch import argv_of

SOURCE = Path(__file__).resolve().parents[3] / "src"


def own_argvs() -> list[tuple[str, list[object]]]:
    """The literal words of every list and tuple in which `-m` is followed by a module of ours."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.List | ast.Tuple):
                words = [each.value if isinstance(each, ast.Constant) else None for each in node.elts]
                if "-m" in words and str((*words, "")[words.index("-m") + 1]).startswith("suanli"):
                    found.append((f"{path.name}:{node.lineno}", words))
    return found


def test_each_is_started_without_its_folder_on_the_path() -> None:
    argvs = own_argvs()
    assert len(argvs) >= 7
    assert [at for at, words in argvs if words[words.index("-m") - 1] != "-P"] == []


def test_a_file_of_the_users_is_not_taken_for_a_module(tmp_path: Path) -> None:
    for name in ("json", "msgspec", "shutil", "suanli"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken')")
    words = [sys.executable, *argv_of(tmp_path / "no-order.json", ("true",))[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "taken" not in done.stderr
    assert "SL-USAGE" in done.stderr
