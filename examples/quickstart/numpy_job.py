"""Which modules does Python's standard library lean on most? PageRank over its imports, by power iteration in NumPy.

    python numpy_job.py

Any framework goes, or none. The answer checks itself against an exact solution; the exit code is 1 if they differ.
"""

import ast
import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import suanli

DAMPING = 0.85
SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}


def main() -> int:
    modules, links = import_graph()
    rank, rounds = pagerank(links)
    error = float(np.abs(rank - exact_pagerank(links)).max())
    best = [
        {"module": modules[index], "rank": round(float(rank[index]), 5)} for index in np.argsort(-rank)[:10]
    ]
    metrics = {"modules": len(modules), "imports": int(links.sum()), "rounds": rounds, "error": error}

    output = Path(os.environ.get("SUANLI_OUTPUT_DIR", "output/numpy"))
    output.mkdir(parents=True, exist_ok=True)
    report = json.dumps({**metrics, "best": best}, indent=2)
    (output / "metrics.json").write_text(report, encoding="utf-8")
    suanli.progress(len(modules), len(modules), metrics)
    print(report)
    return 0 if error < 1e-9 else 1


def import_graph() -> tuple[list[str], np.ndarray]:
    """Top-level modules, and links[i, j] = 1 where module i imports module j."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        path for path in sorted(root.rglob("*.py")) if not SKIPPED.intersection(path.relative_to(root).parts)
    ]
    modules = sorted(
        {path.relative_to(root).parts[0].removesuffix(".py") for path in files}
        | set(sys.builtin_module_names)
    )
    number = {module: index for index, module in enumerate(modules)}
    links = np.zeros((len(modules), len(modules)))
    for done, path in enumerate(files):
        importer = number[path.relative_to(root).parts[0].removesuffix(".py")]
        for module in imported(path):
            if module in number and number[module] != importer:
                links[importer, number[module]] = 1
        suanli.progress(done, len(files))
    return modules, links


def imported(path: Path) -> Iterator[str]:
    """Top-level names of what a file imports from outside its own package."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def pagerank(links: np.ndarray) -> tuple[np.ndarray, int]:
    """Rank of each module (they sum to 1) and the rounds it took (Page et al. 1998)."""
    step, rank = transition(links), np.full(len(links), 1 / len(links))
    for rounds in range(1, 1000):
        before, rank = rank, DAMPING * rank @ step + (1 - DAMPING) / len(links)
        if np.abs(rank - before).max() < 1e-14:
            return rank, rounds
    raise ArithmeticError("PageRank did not settle")


def exact_pagerank(links: np.ndarray) -> np.ndarray:
    """The same by solving the linear equations that the ranks obey."""
    count = len(links)
    return np.linalg.solve(
        np.eye(count) - DAMPING * transition(links).T, np.full(count, (1 - DAMPING) / count)
    )


def transition(links: np.ndarray) -> np.ndarray:
    """Row i: where one goes from module i; from one that imports nothing, anywhere."""
    targets = links.sum(axis=1, keepdims=True)
    return np.where(targets > 0, links / np.maximum(targets, 1), 1 / len(links))


if __name__ == "__main__":
    sys.exit(main())
