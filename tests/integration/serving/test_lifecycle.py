"""A service goes through all that may happen to it while requests keep coming: none fails that need not.

The benchmark's own scenario, slower and shorter: a real controller on a real Ray, real replicas, two gateway processes.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

from serve_lifecycle import run

OWN = {"canary, bad: errors", "kill -9 a replica", "kill -9 one gateway process of two"}
"""Where some requests must fail: answered by a revision that fails, or in flight on what is killed."""


@pytest.mark.timeout(600)
def test_nothing_fails_through_updates_rollbacks_scaling_drains_and_kills_but_what_was_in_flight() -> None:
    told = run(rate=60.0, quiet_s=1.0)
    failed = {step: failures for step, failures in told["steps"].items() if failures}
    assert failed.keys() <= OWN, failed
    errors = told["steps"]["canary, bad: errors"]
    assert sum(errors.values()) <= 60
    assert all(what.startswith("500 ") for what in errors)
    assert told["answered"] > 60 * 20
    assert told["taken_back"].keys() == {"errors", "slow"}
    assert "requests failed" in told["taken_back"]["errors"]
    assert "took longer than 1 s" in told["taken_back"]["slow"]
