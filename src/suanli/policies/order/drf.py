"""Dominant resource fairness between teams."""

import numpy as np

from suanli.policies.order.priority import priority
from suanli.policies.parts import Queue
from suanli.policies.table import Floats


def drf(queue: Queue) -> Floats:
    """The team first that has least for its weight, by its dominant share (cores, memory, accelerators). O(n log n).

    Ghodsi et al. 2011 (NSDI, algorithm 1): again and again the next workload of the team whose dominant share, over its
    weight, is smallest. A team's share only grows on the way, so what it is before each of its workloads is a rank that
    gives that very sequence without a heap. Inside a team the order is that of `priority`; ties between teams go to
    whoever is nearer to the head of its team, then by submission.
    """
    teams, n = queue.teams(), len(queue.seq)
    by_team = np.lexsort((queue.seq, priority(queue), teams.team))
    team = teams.team[by_team]
    head = np.searchsorted(team, team)  # where its team begins
    up_to = np.concatenate([np.zeros((1, teams.takes.shape[1])), np.cumsum(teams.takes[by_team], axis=0)])
    before = teams.held[team] + up_to[:n] - up_to[head]
    # rounded, as equal sums shall be ties
    share = np.asarray(np.round(before.max(axis=1, initial=0.0) / teams.weight[team], 9), dtype=np.float64)
    first = np.lexsort((queue.seq[by_team], np.arange(n) - head, share))
    rank = np.empty(n)
    rank[by_team[first]] = np.arange(n)
    return rank
