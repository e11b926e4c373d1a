"""What a service was asked lately, gathered piece by piece: rates over several stretches, burstiness, what goes on."""

from collections import deque

import msgspec

STRETCHES_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Over which arrivals are counted: a burst shows in the short ones, the usual rate in the long one."""

TOLD_S = 1.0
"""Of a source that told something so lately, stretches end when it did; of another they go on without arrivals."""

ONGOING_S = 10.0
"""Over which waiting and ongoing requests are averaged."""

PIECES_MIN = 10
"""With fewer pieces, arrivals are taken for a Poisson process."""

DISPERSION_MIN, DISPERSION_MAX = 0.25, 10.0


class _Piece(msgspec.Struct, frozen=True):
    """Arrivals of one source that were told at once: `spread` is how far its rate is from that of the piece before, as
    an estimate of the rate times the dispersion; None for a source's first."""

    source: int
    from_s: float
    to_s: float
    count: int
    spread: float | None


class Load:
    """Bounded by the longest stretch. `began_s` is when anything was first known."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._pieces: deque[_Piece] = deque()
        self._before: dict[int, _Piece] = {}
        self._samples: deque[tuple[float, int, int]] = deque()

    def arrived(self, source: int, from_s: float, to_s: float, count: int) -> None:
        """What came to one source (a gateway's worker) in that time. O(1)."""
        if to_s <= from_s:
            return
        before = self._before.get(source)
        piece = _Piece(source, from_s, to_s, count, _spread(before, from_s, to_s, count))
        self._before[source] = piece
        self._pieces.append(piece)
        while self._pieces[0].to_s < to_s - STRETCHES_S[-1]:
            self._pieces.popleft()

    def sample(self, now_s: float, waiting: int, ongoing: int) -> None:
        self._samples.append((now_s, waiting, ongoing))
        while self._samples[0][0] < now_s - ONGOING_S:
            self._samples.popleft()

    def arrivals(self, now_s: float) -> tuple[tuple[float, int], ...]:
        """(length_s, count) by stretch, as far as it is known. O(pieces)."""
        known_s = now_s - self._began_s
        lengths = sorted({min(stretch_s, known_s) for stretch_s in STRETCHES_S})
        counts = [0.0] * len(lengths)
        for piece in self._pieces:
            per_s = piece.count / (piece.to_s - piece.from_s)
            end_s = max(self._before[piece.source].to_s, now_s - TOLD_S)
            for i, length_s in enumerate(lengths):
                counts[i] += per_s * max(0.0, piece.to_s - max(piece.from_s, end_s - length_s))
        return tuple(
            (length_s, round(n)) for length_s, n in zip(lengths, counts, strict=True) if length_s > 0
        )

    def dispersion(self) -> float:
        """Variance of counts over their mean, from differences of neighbours, so that a rate that grows is not taken
        for a bursty one (von Neumann, 1941). O(pieces)."""
        told = [piece for piece in self._pieces if piece.spread is not None]
        length_s = sum(piece.to_s - piece.from_s for piece in told)
        count = sum(piece.count for piece in told)
        if len(told) < PIECES_MIN or not count:
            return 1.0
        mean = sum(piece.spread or 0.0 for piece in told) / len(told)
        return min(max(mean / (count / length_s), DISPERSION_MIN), DISPERSION_MAX)

    def ongoing(self) -> tuple[float, float]:
        """How many waited, and how many waited or were with a replica, on average. O(samples)."""
        samples = len(self._samples)
        if not samples:
            return 0.0, 0.0
        return sum(w for _, w, _ in self._samples) / samples, sum(o for _, _, o in self._samples) / samples


def _spread(before: _Piece | None, from_s: float, to_s: float, count: int) -> float | None:
    if before is None or from_s < before.to_s - 1e-9:
        return None
    length_s, former_s = to_s - from_s, before.to_s - before.from_s
    difference = count / length_s - before.count / former_s
    return difference**2 / (1.0 / length_s + 1.0 / former_s)
