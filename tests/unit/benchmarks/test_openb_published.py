"""The published openb runs, drawn again: Go's generator, and one run through the kernel beside the authors' own."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("SUANLI_DATA") or ROOT.parent / "shared" / "data") / "openb"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def test_the_generator_draws_the_numbers_that_every_gopher_knows(script: Callable[[str], ModuleType]) -> None:
    draws = script("openb_published").GoRandom(1)
    assert [draws.integers(100) for _ in range(10)] == [81, 87, 47, 59, 81, 18, 25, 40, 56, 0]


def test_a_shuffle_and_ranks_have_each_of_their_numbers_once(script: Callable[[str], ModuleType]) -> None:
    draws = script("openb_published").GoRandom(42)
    assert sorted(draws.permutation(1000)) == sorted(draws.ranks(1000)) == list(range(1000))


@pytest.mark.skipif(not (DATA / "expected").exists(), reason="needs the folder openb that SUANLI_DATA names")
def test_a_run_through_the_kernel_comes_out_as_the_authors_own_did(
    script: Callable[[str], ModuleType],
) -> None:
    decide, names = script("decide_openb"), ("clustering", "fgd")
    runs = decide.runs_of("default", data=DATA, policies=names, seeds=1, shuffled=True, random_ties=False)
    for run in runs:
        assert run.allocation == pytest.approx(run.published, abs=decide.ALIKE)
