"""Small problems of sharing for tests, dull on purpose."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from suanli.policies.sharing.values import Sharing
from suanli.policies.table import Floats


def sharing(speed: Sequence[Sequence[float]], capacity: Sequence[float], **more: Any) -> Sharing:
    """Jobs of one device, of equal weight, of one team; nothing known of what is left unless it is given."""
    table = np.array(speed, dtype=float).reshape(-1, len(capacity))
    n = len(table)
    given = {name: np.array(value, dtype=float) for name, value in more.items()}
    for name in ("entity", "current", "seq"):
        if name in given:
            given[name] = given[name].astype(np.intp)
    values: dict[str, Any] = {
        "speed": table,
        "devices": np.ones(n),
        "weight": np.ones(n),
        "entity": np.zeros(n, dtype=np.intp),
        "entity_weight": np.ones(1),
        "remaining": np.full(n, np.nan),
        "elapsed_s": np.zeros(n),
        "fair_s": np.zeros(n),
        "done": np.zeros(n),
        "current": np.full(n, -1, dtype=np.intp),
        "seq": np.arange(n),
        "deadline_left_s": np.full(n, np.inf),
        "capacity": np.array(capacity, dtype=float),
        "price": np.ones(len(capacity)),
    }
    return Sharing(**{**values, **given})


def random_sharing(rng: np.random.Generator, n: int, m: int) -> Sharing:
    """Gangs of 1 to 4, speeds over two orders of magnitude, some of them zero; fewer devices than are wanted."""
    speed = np.exp(rng.normal(0.0, 1.0, (n, m))) * (rng.random((n, m)) < 0.9)
    return sharing(
        speed.tolist(),
        rng.integers(1, max(2, n // m) + 1, m).tolist(),
        devices=rng.choice([1.0, 1.0, 2.0, 4.0], n),
        weight=rng.choice([1.0, 1.0, 3.0], n),
        entity=rng.integers(0, 3, n),
        entity_weight=[1.0, 2.0, 4.0],
        remaining=np.exp(rng.normal(3.0, 1.5, n)),
        elapsed_s=rng.exponential(50.0, n),
        fair_s=rng.exponential(50.0, n),
    )


def reached(problem: Sharing, x: Floats) -> Floats:
    """float[n]: work a second of each job."""
    return (problem.speed * x).sum(axis=1)


def assert_feasible(problem: Sharing, x: Floats) -> None:
    assert x.shape == problem.speed.shape
    assert np.isfinite(x).all()
    assert x.min(initial=0.0) >= 0.0
    assert (x.sum(axis=1) <= 1.0 + 1e-9).all()
    assert (problem.devices @ x <= problem.capacity * (1.0 + 1e-9)).all()
    assert not x[~problem.able].any()
