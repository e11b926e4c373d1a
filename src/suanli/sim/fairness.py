"""Finish-time fairness: how much longer a job took than it would have in its own part of the cluster.

Sources: Mahajan et al., "Themis", NSDI'20; for several kinds of accelerators Jayaram Subramanya et al., "Sia", SOSP'23.
"""

from collections.abc import Sequence

import numpy as np

from suanli.sim.jobs import Floats, Jobs
from suanli.sim.outcome import Level


def finish_time_ratios(jobs: Jobs, levels: Sequence[Level]) -> Floats:
    """float[n]: above 1 is unfair; nan of jobs that have not succeeded. O(n · k + levels).

    The mean over the kinds of device that will do, weighted by how many there are, of the completion time over that in
    an own part of 1/contention of the kind's devices, where a gang larger than that part takes turns with itself.
    Contention is the mean number of jobs in the system while it was there.
    """
    contention = mean_contention(jobs.arrived_s, jobs.ended_s, levels)[:, None]
    usable = np.isfinite(jobs.alone_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.maximum(1.0, jobs.asked * contention / jobs.capacity)
        ratios = np.where(usable, jobs.jct_s[:, None] / (jobs.alone_s * turns), 0.0)
        weights = np.where(usable, jobs.capacity, 0.0)
        return np.sum(ratios * weights, axis=1) / np.sum(weights, axis=1)


def mean_contention(from_s: Floats, to_s: Floats, levels: Sequence[Level]) -> Floats:
    """float[n]: jobs that wait or run, on average over each interval, at least 1. nan where an end is missing."""
    if not levels:
        return np.full(len(from_s), np.nan)
    at_s = np.array([level.at_s for level in levels])
    present = np.array([level.waiting + level.live for level in levels], dtype=np.float64)
    area = np.concatenate([[0.0], np.cumsum(np.diff(at_s) * present[:-1])])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (np.interp(to_s, at_s, area) - np.interp(from_s, at_s, area)) / (to_s - from_s)
    return np.where(np.isfinite(to_s), np.maximum(1.0, mean), np.nan)
