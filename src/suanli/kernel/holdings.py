"""What running work holds, as arrays, so that the fleet can be looked at as if some of it had left."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Record
from suanli.policies.table import RESOURCES, Bools, Indices, NodeTable, amounts_of


class Holdings:
    """One row for each placement of each record, in the order given. Building is O(placements).

    intp[rows] `node` and `holder` (position in `records`), float[rows, R] `amounts`; one entry for each device that is
    held, intp `device` (node · D + d) and `device_holder`, float `device_share`.
    """

    def __init__(self, table: NodeTable, records: Sequence[Record]) -> None:
        self.records = tuple(records)
        rows = [
            (table.index[p.node], k, p.share)
            for k, record in enumerate(self.records)
            if record.attempt is not None
            for p in record.attempt.placements
            if p.node in table.index
        ]
        self.node: Indices = np.array([i for i, _, _ in rows], dtype=np.intp)
        self.holder: Indices = np.array([k for _, k, _ in rows], dtype=np.intp)
        self.amounts = np.array([amounts_of(share) for _, _, share in rows]).reshape(
            len(rows), len(RESOURCES)
        )
        width = table.device_free.shape[1]
        devices = [
            (i * width + d, k, share.device_share)
            for i, k, share in rows
            for d in share.devices
            if d < table.device_count[i]
        ]
        self.device: Indices = np.array([d for d, _, _ in devices], dtype=np.intp)
        self.device_holder: Indices = np.array([k for _, k, _ in devices], dtype=np.intp)
        self.device_share: NDArray[np.float64] = np.array([s for _, _, s in devices], dtype=np.float64)

    def without(self, table: NodeTable, gone: Bools) -> NodeTable:
        """A copy of `table` with what the `gone` records (bool[records]) hold given back. O(rows + N·(R+D·M))."""
        after = table.copy()
        leaving = gone[self.holder]
        nodes = self.node[leaving]
        for r in range(len(RESOURCES)):
            after.free[:, r] += np.bincount(nodes, self.amounts[leaving, r], minlength=len(table.nodes))
        freed = gone[self.device_holder]
        back = np.bincount(self.device[freed], self.device_share[freed], minlength=table.device_free.size)
        after.set_devices(table.device_free + back.reshape(table.device_free.shape))
        return after
