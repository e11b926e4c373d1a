"""When a new revision is called bad, and when it is not."""

import numpy as np
import pytest

from suanli.domain.traffic import BUCKETS, Window, bucket_of
from suanli.domain.workload import Slo, Update
from suanli.policies.verdict import verdict


def window(requests: int = 1000, failed: int = 0, *, latency_s: float = 0.1, late: int = 0) -> Window:
    """`late` of the answers took ten times as long as the rest."""
    counts = [0] * BUCKETS
    counts[bucket_of(latency_s)] += requests - late
    counts[bucket_of(10 * latency_s)] += late
    return Window(requests=requests, failed=failed, latency=tuple(counts), first_byte=tuple(counts))


@pytest.mark.parametrize(
    ("new", "old", "slo", "says"),
    [
        (window(), window(), Slo(), ""),
        (window(failed=100), window(), Slo(), "100 of 1000 requests failed (10.0%); 1.0% is usual"),
        (window(failed=100), window(failed=100), Slo(), ""),
        (window(5, failed=5), window(), Slo(), "5 of 5 requests failed (100.0%); 1.0% is usual"),
        (window(5, failed=2), window(), Slo(), ""),
        (window(latency_s=0.3), window(), Slo(), "took longer than"),
        (window(latency_s=0.15), window(), Slo(), ""),
        (window(latency_s=0.3), window(), Slo(p95_s=0.4), ""),
        (window(late=200), window(), Slo(p95_s=0.5), "200 of 1000 answers took longer than 0.5 s (20.0%)"),
        (window(late=50), window(), Slo(p95_s=0.5), ""),
        (window(late=200), window(late=200), Slo(p95_s=0.5), ""),
        (window(late=200), window(), Slo(ttft_p95_s=0.5), "first tokens"),
        (Window(), window(), Slo(p95_s=0.5), ""),
        (window(10, late=10), window(), Slo(p95_s=0.5), ""),
    ],
)
def test_it_is_bad_where_it_surely_does_worse_than_promised_and_than_before(
    new: Window, old: Window, slo: Slo, says: str
) -> None:
    said = verdict(new, old, slo, Update())
    assert says in said
    assert bool(says) == bool(said)


def test_one_as_good_as_the_old_one_is_hardly_ever_called_bad() -> None:
    rng = np.random.default_rng(0)
    called_bad = 0
    for _ in range(2000):
        new, old = (
            window(400, int(rng.binomial(400, 0.01)), late=int(rng.binomial(400, 0.04))) for _ in "no"
        )
        called_bad += bool(verdict(new, old, Slo(p95_s=0.5), Update()))
    assert called_bad < 0.005 * 2000


def test_a_revision_that_fails_often_is_called_bad_within_a_hundred_requests() -> None:
    rng = np.random.default_rng(0)
    found = sum(
        bool(verdict(window(100, int(rng.binomial(100, 0.2))), window(), Slo(), Update())) for _ in range(500)
    )
    assert found > 0.99 * 500
