"""Find functions of Python's standard library by what they do, with a model that Suanli serves.

    python search.py --url http://127.0.0.1:8110 --key-file ~/.suanli/key "find files by a pattern" "compress a file"

Reads the first lines of documentation of several hundred functions, has them embedded (OpenAI's /v1/embeddings, so that
any client would do as well), and shows the nearest to each question. Needs nothing but the standard library and NumPy.
"""

import argparse
import ast
import http.client
import json
import sysconfig
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MODULES = (
    "argparse", "base64", "bisect", "calendar", "collections/__init__", "configparser", "contextlib", "copy", "csv",
    "datetime", "difflib", "email/utils", "fileinput", "fnmatch", "fractions", "functools", "getpass", "glob", "gzip",
    "hashlib", "heapq", "html/__init__", "inspect", "json/__init__", "locale", "mimetypes", "os", "pathlib", "pprint",
    "random", "re", "secrets", "shlex", "shutil", "socket", "statistics", "string", "subprocess", "tarfile",
    "tempfile", "textwrap", "tokenize", "traceback", "unittest/mock", "urllib/parse", "uuid", "webbrowser", "zipfile",
)  # fmt: skip
AT_ONCE = 32
SHOWN = 3


class Function(NamedTuple):
    name: str
    does: str


def main() -> None:
    parser = argparse.ArgumentParser(description="Find functions of the standard library by what they do.")
    parser.add_argument("questions", nargs="+", metavar="QUESTION")
    parser.add_argument("--url", default="http://127.0.0.1:8110", help="where services are reached")
    parser.add_argument("--key-file", type=Path, default=Path("~/.suanli/key"), help="a file with an API key")
    parser.add_argument("--model", default="search", help="the service, or its model")
    given = parser.parse_args()
    ask = Asker(given.url, given.key_file.expanduser().read_text().strip(), given.model)
    functions = list(library())
    began_s = time.monotonic()
    known = ask.embeddings([f"{each.name}: {each.does}" for each in functions])
    took_s = time.monotonic() - began_s
    print(f"{len(functions)} functions embedded in {took_s:.1f} s, {len(functions) / took_s:.0f} a second")
    for question, vector in zip(given.questions, ask.embeddings(given.questions), strict=True):
        print(f"\n{question}?")
        nearness = known @ vector
        for i in np.argsort(-nearness)[:SHOWN]:
            print(f"  {nearness[i]:.2f}  {functions[i].name}  {functions[i].does}")


class Asker:
    """Asks a service for embeddings, over one connection."""

    def __init__(self, url: str, key: str, model: str) -> None:
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname or "", parts.port, timeout=60)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.model = model

    def embeddings(self, texts: list[str]) -> NDArray[np.float32]:
        """float32[n, d], of length 1 each."""
        found = [self._some(texts[i : i + AT_ONCE]) for i in range(0, len(texts), AT_ONCE)]
        vectors = np.concatenate(found)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _some(self, texts: list[str]) -> NDArray[np.float32]:
        body = json.dumps({"model": self.model, "input": texts})
        self.connection.request("POST", "/v1/embeddings", body, self.headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(
                f"the service answered {response.status}: {answer.decode(errors='replace')[:300]}"
            )
        return np.array([each["embedding"] for each in json.loads(answer)["data"]], dtype=np.float32)


def library() -> Iterator[Function]:
    """Public functions and methods of the modules above that say what they do."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    for module in MODULES:
        file = folder / f"{module}.py"
        if file.is_file():
            name = module.removesuffix("/__init__").replace("/", ".")
            yield from _functions(ast.parse(file.read_text(encoding="utf-8")).body, name)


def _functions(body: list[ast.stmt], prefix: str) -> Iterator[Function]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, name)
        elif text := ast.get_docstring(node):
            yield Function(name, " ".join(text.split("\n\n")[0].split())[:160])


if __name__ == "__main__":
    main()
