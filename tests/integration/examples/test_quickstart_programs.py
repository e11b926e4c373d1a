"""The other programs of the quickstart, its corpus, and its declarations."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.syspath_prepend(str(QUICKSTART))
    monkeypatch.setenv("SUANLI_OUTPUT_DIR", str(tmp_path))
    return monkeypatch


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_digits_are_told_apart_on_data_kept_out_of_training(
    example: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digits = load("digits")
    example.setattr(digits, "WIDTHS", (32,))
    example.setattr(digits, "PENALTIES", (0.1,))
    example.setattr(digits, "FOLDS", 2)
    digits.main()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert all(0.9 < metrics[name] < 1 for name in ("accuracy", "precision", "recall", "f1"))


def test_the_numpy_job_checks_its_own_answer(tmp_path: Path) -> None:
    environment = os.environ | {
        "SUANLI_OUTPUT_DIR": str(tmp_path),
        "SUANLI_PROGRESS_FILE": str(tmp_path / "progress.json"),
    }
    subprocess.run(
        [sys.executable, str(QUICKSTART / "numpy_job.py")], env=environment, check=True, timeout=110
    )
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["error"] < 1e-9
    assert "sys" in {place["module"] for place in found["best"]}
    said = json.loads((tmp_path / "progress.json").read_text())
    assert said["step"] == said["total"] == said["metrics"]["modules"]


def test_a_wrong_answer_of_the_numpy_job_is_an_error(example: pytest.MonkeyPatch) -> None:
    job = load("numpy_job")
    example.setattr(job, "import_graph", lambda: (["sys", "os"], np.array([[0.0, 1.0], [0.0, 0.0]])))
    example.setattr(job, "exact_pagerank", lambda links: job.pagerank(links)[0] + 1e-3)
    assert job.main() == 1


def test_held_out_files_are_never_trained_on_and_no_byte_is_lost(
    example: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    corpus = load("gpt.corpus")
    texts = {name: text for name, text in corpus._source_files() if name in FILES}
    example.setattr(corpus, "_source_files", lambda: iter(texts.items()))
    corpus.prepare(tmp_path / "corpus")
    found = corpus.load(tmp_path / "corpus")
    tokenizer = Tokenizer.from_file(str(tmp_path / "corpus" / "tokenizer.json"))

    def decoded(tokens: list[int]) -> str:
        return tokenizer.decode(tokens, skip_special_tokens=False)

    assert {name for name in FILES if corpus.is_held_out(name)} == {"opcode.py"}
    assert decoded(found.validation.tolist()) == corpus.FILE_MARK + texts["opcode.py"]
    kept = "".join(corpus.FILE_MARK + text for name, text in texts.items() if name != "opcode.py")
    assert decoded(found.train.tolist()) == kept
    text_bytes = len(texts["opcode.py"].encode())
    assert found.token_bytes[found.validation].sum() == text_bytes


FILES = ("argparse.py", "inspect.py", "opcode.py")


def test_a_corpus_is_encoded_once(example: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus = load("gpt.corpus")
    (tmp_path / "corpus").mkdir()
    example.setattr(corpus, "_source_files", lambda: pytest.fail("it was there already"))
    corpus.prepare(tmp_path / "corpus")


def test_the_declarations_are_valid_and_tell_the_story() -> None:
    from suanli.catalog import accelerators
    from suanli.spec import Source, read

    files = sorted(QUICKSTART.glob("*.yaml"))
    sources = [Source(path.name, path.read_text(), str(path.parent)) for path in files]
    declared = read(sources, lambda _: accelerators.load(), now_s=0.0)
    assert declared.warnings == ()
    assert declared.fleet
    assert declared.fleet.nodes[0].cpus == 2
    by_name = {workload.name: workload for workload in declared.workloads}
    assert by_name.keys() == {"gpt", "digits", "numpy", "too-big", "chat", "search"}
    gpt, digits = by_name["gpt"], by_name["digits"]
    assert (gpt.worker_count, gpt.demand.cpus, gpt.checkpoint_every_s, gpt.grace_s) == (2, 2, 20, 20)
    assert digits.priority > gpt.priority > by_name["numpy"].priority
    assert by_name["chat"].depends_on == ("gpt",)
    assert all(Path(workload.workdir) == QUICKSTART for workload in declared.workloads)
