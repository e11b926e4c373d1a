"""When requests come and what each takes: drawn by a given generator, or evenly."""

from collections.abc import Sequence

import msgspec
import numpy as np

from suanli.policies.autoscale.queueing import Times
from suanli.sim.serving import Requests, Seconds


class Stretch(msgspec.Struct, frozen=True):
    """So many requests a second for so long."""

    per_s: float
    length_s: float


def poisson(stretches: Sequence[Stretch], rng: np.random.Generator) -> Seconds:
    """Instants of a Poisson process, one stretch after another: given their number they are uniform."""
    parts: list[Seconds] = []
    from_s = 0.0
    for stretch in stretches:
        count = int(rng.poisson(stretch.per_s * stretch.length_s))
        parts.append(np.sort(rng.uniform(from_s, from_s + stretch.length_s, count)))
        from_s += stretch.length_s
    return np.concatenate(parts) if parts else np.zeros(0)


def even(stretches: Sequence[Stretch]) -> Seconds:
    """Instants with the same time between all of a stretch, the first after half of it."""
    parts: list[Seconds] = []
    from_s = 0.0
    for stretch in stretches:
        count = round(stretch.per_s * stretch.length_s)
        middles: Seconds = np.arange(0.5, count, 1.0)
        parts.append(from_s + middles * (stretch.length_s / max(1, count)))
        from_s += stretch.length_s
    return np.concatenate(parts) if parts else np.zeros(0)


def drawn(times: Times, count: int, rng: np.random.Generator) -> Seconds:
    """Of a distribution, as measured or given, float[count]."""
    if len(times.seconds) == 1:
        return np.full(count, float(times.seconds[0]))
    return rng.choice(times.seconds, size=count, p=times.weights / times.weights.sum())


def always(seconds: float) -> Times:
    """All take as long."""
    return Times(np.array([seconds]), np.ones(1))


def sampled(seconds: Sequence[float] | Seconds) -> Times:
    """Any of these, as likely as each other."""
    values = np.asarray(seconds, dtype=np.float64)
    return Times(values, np.full(len(values), 1.0 / len(values)))


def requests_of(arrive_s: Seconds, times: Times, rng: np.random.Generator) -> Requests:
    return Requests(arrive_s, drawn(times, len(arrive_s), rng))
