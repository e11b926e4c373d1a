"""The mixed-integer programs over single nodes: all at once, and over instants."""

from collections.abc import Sequence
from math import floor

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.solvers.matrix import Floats
from suanli.solvers.placement.answer import Chosen, measured
from suanli.solvers.placement.arrays import Arrays
from suanli.solvers.placement.classes import shares_of, step_s
from suanli.solvers.rows import Rows


class Seat(msgspec.Struct, frozen=True):
    """What a binary column says: the pair begins at the instant, and holds the node (all of its class if None)."""

    pair: int
    node: int | None
    start_s: int


class NodeProgram(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Columns: whether a pair begins at an instant, whether it then holds a node, then opened nodes, then T."""

    objective: Floats
    rows: Rows
    lower: Floats
    upper: Floats
    integral: NDArray[np.bool_]
    begins: tuple[Seat, ...]
    holds: tuple[Seat, ...]
    start: Floats | None

    def chosen(self, x: Floats) -> tuple[Chosen, ...]:
        nodes: dict[tuple[int, int], list[int]] = {}
        for column, seat in enumerate(self.holds, start=len(self.begins)):
            if x[column] > 0.5 and seat.node is not None:
                nodes.setdefault((seat.pair, seat.start_s), []).append(seat.node)
        return tuple(
            Chosen(seat.pair, tuple(nodes[seat.pair, seat.start_s]), seat.start_s)
            for column, seat in enumerate(self.begins)
            if x[column] > 0.5
        )


def at_once(
    arrays: Arrays, known: tuple[Chosen, ...] | None, bound: float, columns_max: int
) -> NodeProgram | None:
    """Everything begins at 0. Columns: pairs x (1 + nodes of the class) + nodes."""
    return _program(arrays, [0], 1, known, bound, columns_max)


def over_time(
    arrays: Arrays, known: tuple[Chosen, ...] | None, bound: float, columns_max: int
) -> NodeProgram | None:
    """Time-indexed (Pritsker 1969), in steps of the greatest common divisor of the durations, as far as the horizon
    that a better answer than the known one must keep. Columns: pairs x (1 + nodes of the class) x instants."""
    if known is None:
        return None
    step, objective = step_s(arrays), arrays.objective
    least = sum(
        min([float(arrays.pair_score[p]) for p in arrays.pairs_of(g)] + [0.0] * objective.may_leave_out)
        for g in range(arrays.gangs)
    )
    allowed_s = (measured(arrays, known).score - least) / objective.time_weight
    steps = floor(allowed_s / step + 1e-6)
    if steps * arrays.pairs > columns_max:  # before the list of instants is made
        return None
    return _program(arrays, [k * step for k in range(steps)], step, known, bound, columns_max)


def _program(
    arrays: Arrays,
    instants: Sequence[int],
    step: int,
    known: tuple[Chosen, ...] | None,
    bound: float,
    columns_max: int,
) -> NodeProgram | None:
    begins = _begins(arrays, instants, step)
    nodes_each = arrays.count[arrays.node_class]
    if sum(1 + int(nodes_each[seat.pair]) for seat in begins) + arrays.nodes > columns_max:
        return None
    holds = [
        Seat(seat.pair, int(node), seat.start_s)
        for seat in begins
        for node in range(*_span(arrays, int(arrays.node_class[seat.pair])))
    ]
    first_open = len(begins) + len(holds)
    last = first_open + arrays.nodes
    rows = Rows()
    _each_once(arrays, rows, begins)
    _members(arrays, rows, begins, holds)
    _capacity(arrays, rows, holds, len(begins), first_open, instants if arrays.objective.may_wait else [0])
    if arrays.objective.may_wait:
        _completion(arrays, rows, begins, last)
    objective = np.concatenate(
        (
            arrays.pair_score[[seat.pair for seat in begins]],
            np.zeros(len(holds)),
            arrays.opening_score[arrays.nodes_class],
            [arrays.objective.time_weight],
        )
    )
    used = np.nonzero(objective)[0]
    rows.add(used.tolist(), objective[used].tolist(), lower=bound - 1e-7 * abs(bound))
    columns = last + 1
    upper = np.ones(columns)
    upper[last] = np.inf
    return NodeProgram(
        objective=objective,
        rows=rows,
        lower=np.zeros(columns),
        upper=upper,
        integral=np.arange(columns) < last,
        begins=tuple(begins),
        holds=tuple(holds),
        start=_point(arrays, known, begins, holds, columns) if known is not None else None,
    )


def _begins(arrays: Arrays, instants: Sequence[int], step: int) -> list[Seat]:
    end_s = len(instants) * step
    return [
        Seat(pair, None, at)
        for pair in range(arrays.pairs)
        for at in instants
        if not arrays.objective.may_wait or at + arrays.duration_s[pair] <= end_s
    ]


def _span(arrays: Arrays, node_class: int) -> tuple[int, int]:
    return int(arrays.first_node[node_class]), int(arrays.first_node[node_class + 1])


def _each_once(arrays: Arrays, rows: Rows, begins: Sequence[Seat]) -> None:
    of_gang: list[list[int]] = [[] for _ in range(arrays.gangs)]
    for column, seat in enumerate(begins):
        of_gang[int(arrays.gang[seat.pair])].append(column)
    least = 0.0 if arrays.objective.may_leave_out else 1.0
    for columns in of_gang:
        rows.add(columns, [1.0] * len(columns), least, 1.0)


def _members(arrays: Arrays, rows: Rows, begins: Sequence[Seat], holds: Sequence[Seat]) -> None:
    """A gang that begins holds as many distinct nodes as it has members, all from that instant on."""
    column = len(begins)
    for begin, seat in enumerate(begins):
        size = int(arrays.size[arrays.gang[seat.pair]])
        count = int(arrays.count[arrays.node_class[seat.pair]])
        members = list(range(column, column + count))
        rows.add([begin, *members], [-float(size), *[1.0] * count], 0.0, 0.0)
        if size > 1:
            for member in members:
                rows.add([begin, member], [1.0, -1.0], lower=0.0)
        column += count


def _capacity(
    arrays: Arrays,
    rows: Rows,
    holds: Sequence[Seat],
    first_hold: int,
    first_open: int,
    instants: Sequence[int],
) -> None:
    """At every instant, on every node, of every resource."""
    on: dict[tuple[int, int], list[int]] = {}
    for k, seat in enumerate(holds):
        end_s = seat.start_s + (int(arrays.duration_s[seat.pair]) if arrays.objective.may_wait else 1)
        for at in instants:
            if seat.start_s <= at < end_s:
                on.setdefault((int(seat.node or 0), at), []).append(k)
    classes = arrays.nodes_class
    for (node, _), held in on.items():
        node_class = int(classes[node])
        opens = arrays.opening_score[node_class] > 0
        for r in range(arrays.capacity.shape[1]):
            share = shares_of(arrays, node_class, r)[[holds[k].pair for k in held]]
            takes = share > 0
            columns = [first_hold + k for k, some in zip(held, takes, strict=True) if some]
            if columns and opens:
                rows.add([*columns, first_open + node], [*share[takes].tolist(), -1.0], upper=0.0)
            elif columns:
                rows.add(columns, share[takes].tolist(), upper=1.0)
        if opens:
            for k in held:
                rows.add([first_hold + k, first_open + node], [1.0, -1.0], upper=0.0)


def _completion(arrays: Arrays, rows: Rows, begins: Sequence[Seat], last: int) -> None:
    """T is no earlier than the end of any gang."""
    of_gang: list[list[int]] = [[] for _ in range(arrays.gangs)]
    for column, seat in enumerate(begins):
        of_gang[int(arrays.gang[seat.pair])].append(column)
    for columns in of_gang:
        ends = [-float(begins[c].start_s + arrays.duration_s[begins[c].pair]) for c in columns]
        rows.add([*columns, last], [*ends, 1.0], lower=0.0)


def _point(
    arrays: Arrays, known: tuple[Chosen, ...], begins: Sequence[Seat], holds: Sequence[Seat], columns: int
) -> Floats:
    """The known answer as a point to begin with."""
    x = np.zeros(columns)
    begun = {(c.pair, c.start_s) for c in known}
    held = {(c.pair, c.start_s, n) for c in known for n in c.nodes}
    for column, seat in enumerate(begins):
        x[column] = (seat.pair, seat.start_s) in begun
    for column, seat in enumerate(holds, start=len(begins)):
        x[column] = (seat.pair, seat.start_s, seat.node) in held
    first_open = len(begins) + len(holds)
    for one in known:
        x[[first_open + n for n in one.nodes]] = 1.0
    x[-1] = measured(arrays, known).completion_s
    return x
