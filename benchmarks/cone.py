"""A conic interior-point method whose last point is where solvers such as ECOS stop, not a centre and not a corner.

Where many points are equally good, such a method ends at one that depends on where it starts and how boldly it goes.
Figures that others published through ECOS (cvxpy's choice) can only be had from its kind of path: least-squares start,
homogeneous embedding, Nesterov-Todd scaling, Mehrotra's predictor and corrector, 99 % of the way to the border each
time. Vandenberghe, "The CVXOPT linear and quadratic cone program solvers" (2010); Domahidi, Chu, Boyd, "ECOS" (2013).

The cone: `plain` rows that are not negative, then threes (t, u, v) with t >= |(u, v)|. Vectors of it are float[m].
"""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]

STEPS_MAX = 100
TOLERANCE = 1e-8
TO_BORDER = 0.99
STEP_MIN, STEP_MAX = 1e-6, 0.999
CENTRING_MIN = 1e-4
EQUILIBRATIONS = 3
REGULAR = 2e-7
REFINEMENTS = 10

_SIGNS = np.array([1.0, -1.0, -1.0])


class Program(msgspec.Struct, frozen=True, eq=False):
    """Minimise cost @ x so that limit - rows @ x lies in the cone. `rows` is sparse, m by v."""

    cost: Floats
    rows: sparse.csc_array
    limit: Floats
    plain: int

    @property
    def size(self) -> tuple[int, int]:
        return len(self.limit), len(self.cost)


class _Point(msgspec.Struct, frozen=True, eq=False):
    """`slack` and `price` lie in the cone; the solution is x / tau. There is none where tau goes and kappa stays."""

    x: Floats
    slack: Floats
    price: Floats
    tau: float
    kappa: float


class _Residual(msgspec.Struct, frozen=True, eq=False):
    dual: Floats
    primal: Floats
    gap: float
    is_small: bool
    is_infeasible: bool


class _Scaling(msgspec.Struct, frozen=True, eq=False):
    """W, with W price = W^-1 slack: diagonal on plain rows, `size` times a hyperbolic turn to `axis` on threes."""

    plain: Floats
    size: Floats
    axis: Floats


class _Move(msgspec.Struct, frozen=True, eq=False):
    """`scaled_price` is W price, `scaled_slack` W^-1 slack."""

    x: Floats
    price: Floats
    scaled_price: Floats
    scaled_slack: Floats
    tau: float
    kappa: float


_Solve = Callable[[Floats, Floats], tuple[Floats, Floats]]


def solve(program: Program) -> Floats | None:
    """float[v], where the method stops; None where it finds that nothing satisfies the rows."""
    scaled, columns = _equilibrated(program)
    point = _start(scaled)
    for _ in range(STEPS_MAX):
        residual = _residual(scaled, point)
        if residual.is_infeasible:
            return None
        after = None if residual.is_small else _stepped(scaled, point, residual)
        if after is None:
            break
        point = after
    return point.x / (columns * point.tau)


def _equilibrated(program: Program) -> tuple[Program, Floats]:
    """Rows, each three as one, and columns brought near a largest entry of 1 (Ruiz); what columns were divided by."""
    rows, plain = program.rows, program.plain
    row, column = (np.ones(size) for size in program.size)
    for _ in range(EQUILIBRATIONS):
        most = abs(rows)
        across = most.max(axis=0).toarray().ravel()
        along = most.max(axis=1).toarray().ravel()
        along[plain:] = np.repeat(along[plain:].reshape(-1, 3).sum(axis=1), 3)
        by_column, by_row = (np.where(size < TOLERANCE, 1.0, np.sqrt(size)) for size in (across, along))
        rows = (sparse.diags(1 / by_row) @ rows @ sparse.diags(1 / by_column)).tocsc()
        column, row = column * by_column, row * by_row
    return Program(program.cost / column, rows, program.limit / row, plain), column


def _start(program: Program) -> _Point:
    """The least squares of the slacks, and of the prices, moved into the cone."""
    m, v = program.size
    solve = _system(program, _unscaled(m, program.plain))
    x, negative = solve(np.zeros(v), program.limit)
    _, price = solve(-program.cost, np.zeros(m))
    slack, price = (_moved_inside(vector, program.plain) for vector in (-negative, price))
    return _Point(x, slack, price, 1.0, 1.0)


def _moved_inside(vector: Floats, plain: int) -> Floats:
    rows, threes = _split(vector, plain)
    outside = max(
        float((-rows).max(initial=-np.inf)),
        float((np.linalg.norm(threes[:, 1:], axis=1) - threes[:, 0]).max(initial=-np.inf)),
    )
    return vector if outside < 0 else vector + (1.0 + outside) * _unit(len(vector), plain)


def _residual(program: Program, point: _Point) -> _Residual:
    dual_free = -(program.rows.T @ point.price)
    dual = dual_free - program.cost * point.tau
    primal = point.slack + program.rows @ point.x - program.limit * point.tau
    paid, due = float(program.cost @ point.x), float(program.limit @ point.price)
    gap, size = float(point.slack @ point.price), float(np.linalg.norm(point.price))
    off_dual = np.linalg.norm(dual) / max(max(1.0, np.linalg.norm(program.cost)) + size, 1.0)
    off_primal = np.linalg.norm(primal) / max(
        max(1.0, np.linalg.norm(program.limit)) + np.linalg.norm(point.x) + np.linalg.norm(point.slack), 1.0
    )
    relative = gap / max(-paid, -due, 1e-300) * point.tau
    return _Residual(
        dual=dual,
        primal=primal,
        gap=gap,
        is_small=bool(max(off_dual, off_primal) < TOLERANCE * point.tau and min(gap, relative) < TOLERANCE),
        is_infeasible=bool(
            due < -TOLERANCE * max(size, 1.0) and np.linalg.norm(dual_free) < TOLERANCE * max(size, 1.0)
        ),
    )


def _stepped(program: Program, point: _Point, residual: _Residual) -> _Point | None:
    """One step further; None where the way is barred."""
    plain, scaling = program.plain, _scaling(point, program.plain)
    if scaling is None:
        return None
    move_for, level = _moves(program, point, residual, scaling), _scaled(point.price, scaling, plain)
    unit, square = _unit(len(level), plain), _product(level, level, plain)
    of_scalars = point.kappa * point.tau
    mean = (residual.gap + of_scalars) / (unit.sum() + 1.0)
    ahead = move_for(1.0, square, of_scalars)
    centring = float(np.clip((1.0 - _reach(point, level, ahead, plain)) ** 3, CENTRING_MIN, 1.0))
    move = move_for(
        1.0 - centring,
        square + _product(ahead.scaled_slack, ahead.scaled_price, plain) - centring * mean * unit,
        of_scalars + ahead.kappa * ahead.tau - centring * mean,
    )
    size = TO_BORDER * _reach(point, level, move, plain)
    if size <= STEP_MIN:
        return None
    return _Point(
        x=point.x + size * move.x,
        slack=point.slack + size * _scaled(move.scaled_slack, scaling, plain),
        price=point.price + size * move.price,
        tau=point.tau + size * move.tau,
        kappa=point.kappa + size * move.kappa,
    )


def _moves(
    program: Program, point: _Point, residual: _Residual, scaling: _Scaling
) -> Callable[[float, Floats, float], _Move]:
    """The move by which a part of the residuals goes, and the products of slack and price by given amounts."""
    cost, limit, plain = program.cost, program.limit, program.plain
    solve, level = _system(program, scaling), _scaled(point.price, scaling, plain)
    x_of_tau, price_of_tau = solve(-cost, limit)
    steepness = point.kappa / point.tau - float(cost @ x_of_tau + limit @ price_of_tau)
    rest = point.kappa + float(cost @ point.x + limit @ point.price)

    def move_for(part: float, products: Floats, of_scalars: float) -> _Move:
        lowered = _quotient(level, products, plain)
        x, price = solve(part * residual.dual, _scaled(lowered, scaling, plain) - part * residual.primal)
        tau = (part * rest - of_scalars / point.tau + float(cost @ x + limit @ price)) / steepness
        x, price = x + tau * x_of_tau, price + tau * price_of_tau
        scaled = _scaled(price, scaling, plain)
        return _Move(x, price, scaled, -lowered - scaled, tau, -(of_scalars + point.kappa * tau) / point.tau)

    return move_for


def _reach(point: _Point, level: Floats, move: _Move, plain: int) -> float:
    """How far along the move the border is, at most nearly 1."""
    shrinking = max(
        -move.tau / point.tau,
        -move.kappa / point.kappa,
        _shrinking(level, move.scaled_slack, plain),
        _shrinking(level, move.scaled_price, plain),
        1.0 / STEP_MAX,
    )
    return 1.0 / shrinking


def _system(program: Program, scaling: _Scaling) -> _Solve:
    """Solves [0, rows'; rows, -W²] (x, price) = (a, b), regularised and refined."""
    m, v = program.size
    turn = 2 * scaling.axis[:, :, None] * scaling.axis[:, None, :] - np.diag(_SIGNS)
    blocks = [sparse.diags(scaling.plain**2)]
    if len(turn):
        k = len(turn)
        threes = scaling.size[:, None, None] ** 2 * turn
        blocks.append(sparse.bsr_matrix((threes, np.arange(k), np.arange(k + 1)), shape=(3 * k, 3 * k)))
    square = sparse.block_diag(blocks)
    exact = sparse.bmat([[None, program.rows.T], [program.rows, -square]], format="csc")
    factors = splu(exact + sparse.diags(REGULAR * np.concatenate([np.ones(v), -np.ones(m)]), format="csc"))

    def solve(a: Floats, b: Floats) -> tuple[Floats, Floats]:
        asked, found = np.concatenate([a, b]), np.zeros(v + m)
        for _ in range(REFINEMENTS):
            found += factors.solve(asked - exact @ found)
        return found[:v], found[v:]

    return solve


def _scaling(point: _Point, plain: int) -> _Scaling | None:
    (slack, slacks), (price, prices) = (_split(v, plain) for v in (point.slack, point.price))
    of_slack, of_price = _determinant(slacks), _determinant(prices)
    if min(*(float(a.min(initial=1.0)) for a in (slack, price, of_slack, of_price))) <= 0:
        return None
    s, z = slacks / np.sqrt(of_slack)[:, None], prices / np.sqrt(of_price)[:, None]
    half = np.sqrt((1.0 + (s * z).sum(axis=1)) / 2)
    return _Scaling(
        plain=np.sqrt(slack / price),
        size=(of_slack / of_price) ** 0.25,
        axis=(s + z * _SIGNS) / (2 * half)[:, None],
    )


def _unscaled(m: int, plain: int) -> _Scaling:
    _, threes = _split(_unit(m, plain), plain)
    return _Scaling(np.ones(plain), np.ones(len(threes)), threes)


def _scaled(vector: Floats, scaling: _Scaling, plain: int) -> Floats:
    rows, threes = _split(vector, plain)
    head, axis = threes[:, 0], scaling.axis
    along = (axis[:, 1:] * threes[:, 1:]).sum(axis=1)
    tail = threes[:, 1:] + (head + along / (1.0 + axis[:, 0]))[:, None] * axis[:, 1:]
    turned = np.column_stack([axis[:, 0] * head + along, tail])
    return np.concatenate([scaling.plain * rows, (scaling.size[:, None] * turned).ravel()])


def _shrinking(level: Floats, change: Floats, plain: int) -> float:
    """One over the length of the way along `change` to the border of the cone; not positive where there is none."""
    (rows, threes), (change_rows, changes) = _split(level, plain), _split(change, plain)
    norm = np.sqrt(np.maximum(_determinant(threes), 1e-300))
    axis = threes / norm[:, None]
    along = (axis * changes * _SIGNS).sum(axis=1)
    tail = changes[:, 1:] - ((along + changes[:, 0]) / (axis[:, 0] + 1.0))[:, None] * axis[:, 1:]
    of_threes = (np.linalg.norm(tail, axis=1) - along) / norm
    return float(np.concatenate([-change_rows / rows, of_threes]).max(initial=-np.inf))


def _product(a: Floats, b: Floats, plain: int) -> Floats:
    (rows_a, a), (rows_b, b) = _split(a, plain), _split(b, plain)
    threes = np.column_stack([(a * b).sum(axis=1), a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:]])
    return np.concatenate([rows_a * rows_b, threes.ravel()])


def _quotient(a: Floats, b: Floats, plain: int) -> Floats:
    """The c with a * c = b."""
    (rows_a, a), (rows_b, b) = _split(a, plain), _split(b, plain)
    head = (a * b * _SIGNS).sum(axis=1) / _determinant(a)
    tail = (b[:, 1:] - head[:, None] * a[:, 1:]) / a[:, :1]
    return np.concatenate([rows_b / rows_a, np.column_stack([head, tail]).ravel()])


def _determinant(threes: Floats) -> Floats:
    return (threes**2 * _SIGNS).sum(axis=1)


def _unit(m: int, plain: int) -> Floats:
    unit = np.ones(m)
    unit[plain:] = np.tile([1.0, 0.0, 0.0], (m - plain) // 3)
    return unit


def _split(vector: Floats, plain: int) -> tuple[Floats, Floats]:
    return vector[:plain], vector[plain:].reshape(-1, 3)
