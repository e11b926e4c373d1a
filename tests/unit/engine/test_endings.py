"""Why a worker ended."""

import pytest

from suanli.domain.workload import EndCause
from suanli.engine.endings import end_of
from suanli.engine.process import Exit

MIB = 2**20


@pytest.mark.parametrize(
    ("exit_", "last_line", "cause", "detail"),
    [
        (Exit(code=0), "", EndCause.SUCCEEDED, ""),
        (Exit(code=0, oom_kills=1), "", EndCause.SUCCEEDED, ""),
        (Exit(code=2), "", EndCause.FAILED, "exit code 2"),
        (Exit(code=1), "ValueError: x", EndCause.FAILED, "exit code 1; its last words: ValueError: x"),
        (Exit(code=139), "", EndCause.FAILED, "killed by SIGSEGV"),
        (Exit(code=250), "", EndCause.FAILED, "exit code 250"),
        (Exit(failed="cannot run x: No such file"), "", EndCause.START_FAILED, "cannot run x: No such file"),
        (Exit(code=137, cut_off=True), "", EndCause.NODE_LOST, "n1 was cut off from the cluster"),
        (
            Exit(code=137, oom_kills=1, memory_peak_bytes=256 * MIB),
            "",
            EndCause.OUT_OF_MEMORY,
            "it asked for 256 MiB of memory and used 256 MiB",
        ),
        (
            Exit(code=1),
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            EndCause.OUT_OF_MEMORY,
            "exit code 1; its last words: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        ),
    ],
)
def test_an_end_is_told_with_its_evidence(exit_: Exit, last_line: str, cause: EndCause, detail: str) -> None:
    end = end_of(exit_, node="n1", memory_bytes=256 * MIB, last_line=last_line)
    assert (end.cause, end.detail) == (cause, detail)
