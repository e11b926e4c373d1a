"""Shorter schedules by annealing over aligned blocks of nodes, where gangs wait for one another.

A gang that takes more than half of a node has it alone while it runs. If such gangs hold aligned blocks (the buddy
system, Knowlton 1965) and every node serves the wider ones first, no node waits for another: it ends after the sum of
the durations it is given, and a move of a gang changes as many sums as it has nodes. That is a thousand times cheaper
than to list a schedule anew. Each node has two lanes, so that what takes just half of one has a partner; what takes
less rides along, and is listed last. Widths that do not divide one another get blocks all the same, and the plan does
not see how they wait: what counts in the end is a listed schedule, which is a true one.
"""

import numpy as np

from suanli.solvers.placement.annealing import Lanes, annealed
from suanli.solvers.placement.answer import Chosen, measured
from suanli.solvers.placement.arrays import Arrays, Floats, Integers
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.orders import share_of

ROUNDS = 6
"""A round, in which the temperature falls once, takes at most this part of all moves."""
LANES = 2
SLACK = 1e-9


def shortened(
    arrays: Arrays,
    known: tuple[Chosen, ...],
    liking: Floats,
    goal_s: float,
    moves_max: int,
    rng: np.random.Generator,
) -> tuple[Chosen, ...]:
    """The known answer, or one that ends sooner; done once it ends at `goal_s`. float[P] `liking` says where gangs
    begin. Each round aims halfway between the goal and the best so far; where a plan that keeps its aim is listed no
    shorter, plans have nothing more to say. O(moves_max · widest gang), and a list for each round."""
    lanes = _lanes(arrays)
    if not len(lanes.gangs):
        return known
    pair, block = _first_state(arrays, lanes, liking)
    best, best_s = known, measured(arrays, known).completion_s
    moves, in_a_round = 0, moves_max // ROUNDS + 1
    while moves < moves_max and best_s > goal_s:
        made, pair, block = annealed(lanes, (goal_s + best_s) / 2, in_a_round, pair, block, rng)
        moves += made
        found = _schedule(arrays, lanes, pair, block)
        if found is not None and measured(arrays, found).completion_s < best_s:
            best, best_s = found, measured(arrays, found).completion_s
        elif made < in_a_round:
            break
    return best


def _lanes(arrays: Arrays) -> Lanes:
    share = np.zeros(arrays.gangs)
    np.maximum.at(share, arrays.gang, share_of(arrays))
    alone = (share > 0.5 + SLACK) | ((share > 0.5 - SLACK) & (arrays.size > 1))
    half = (share > 0.5 - SLACK) & ~alone
    pair_on = np.full((arrays.gangs, len(arrays.count)), -1, dtype=np.int64)
    pair_on[arrays.gang, arrays.node_class] = np.arange(arrays.pairs)
    return Lanes(
        gangs=np.nonzero(alone | half)[0],
        width=np.where(alone, LANES * arrays.size, half.astype(np.int64)),
        pair_on=pair_on,
        node_class=arrays.node_class,
        duration_s=arrays.duration_s.astype(np.float64),
        first_lane=LANES * arrays.first_node,
    )


def _first_state(arrays: Arrays, lanes: Lanes, liking: Floats) -> tuple[Integers, Integers]:
    """int[G] pair and first lane of each gang: the pair it likes best, the wider first, then the longer, each on the
    block that ends first."""
    pair = np.array(
        [max(arrays.pairs_of(g), key=lambda p: liking[p]) for g in range(arrays.gangs)], dtype=np.int64
    )
    block = np.zeros(arrays.gangs, dtype=np.int64)
    load_s = np.zeros(int(lanes.first_lane[-1]))
    for g in _wider_first(lanes, -lanes.duration_s[pair]):
        width, c = int(lanes.width[g]), int(lanes.node_class[pair[g]])
        low, high = int(lanes.first_lane[c]), int(lanes.first_lane[c + 1])
        blocks = np.arange(low, high - width + 1, width)
        block[g] = blocks[np.argmin([load_s[b : b + width].max() for b in blocks])]
        load_s[block[g] : block[g] + width] += lanes.duration_s[pair[g]]
    return pair, block


def _wider_first(lanes: Lanes, key: Floats | Integers) -> Integers:
    gangs = lanes.gangs
    return gangs[np.lexsort((key[gangs], -lanes.width[gangs]))]


def _schedule(arrays: Arrays, lanes: Lanes, pair: Integers, block: Integers) -> tuple[Chosen, ...] | None:
    """Listed in the order in which the plan begins them. Among gangs that have their nodes alone, each then begins no
    later than planned: as many nodes are free, whichever they are. The rest follows, the longest first, where it
    ends first."""
    begin_s = np.zeros(arrays.gangs)
    free_s = np.zeros(int(lanes.first_lane[-1]))
    for g in _wider_first(lanes, block):
        lane = slice(int(block[g]), int(block[g] + lanes.width[g]))
        begin_s[g] = free_s[lane].max()
        free_s[lane] = begin_s[g] + lanes.duration_s[pair[g]]
    planned = lanes.width > 0
    longest_s = np.zeros(arrays.gangs)
    np.maximum.at(longest_s, arrays.gang, lanes.duration_s)
    order = np.lexsort((-longest_s, np.where(planned, begin_s, np.inf)))
    preference = planned[arrays.gang].astype(np.float64)
    preference[pair[planned]] = 0.0
    return listed(arrays, order, preference, strict=True)
