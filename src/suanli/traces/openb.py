"""Alibaba's openb trace of pods that share GPUs, as published with FGD (USENIX ATC'23).

Source of the format: hkust-adsl/kubernetes-scheduler-simulator, `data/csv`. In its protocol pods come one by one and
never leave; `arrivals` shuffles and resamples them.
"""

import math
from pathlib import Path

from suanli.domain.fleet import Fleet, Node
from suanli.domain.workload import Kind
from suanli.spec.problems import Findings
from suanli.traces.accelerators import models_in, price_per_hour
from suanli.traces.context import Context
from suanli.traces.sheet import Sheet, read_headed
from suanli.traces.table import ANY, Row, Table, table_of

PODS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
NODES = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
MIB = 2**20


def read_openb(path: Path, findings: Findings, context: Context) -> Table:
    """Pods in the order of the file, one a second, each of which stays. O(rows)."""
    sheet = read_headed(path, findings, PODS)
    names = sheet.names("name")
    cpus = sheet.numbers("cpu_milli", least=0)
    memory = sheet.numbers("memory_mib", least=0)
    counts = sheet.numbers("num_gpu", least=0, whole=True)
    shares = sheet.numbers("gpu_milli", least=0)
    allowed = sheet.texts("gpu_spec", "")
    rows: list[Row] = []
    for row in sheet.good():
        count = _accelerators(sheet, row, counts[row], shares[row])
        models = models_in(sheet, row, "gpu_spec", allowed[row].split("|")) if allowed[row] else (ANY,)
        rows.append(
            Row(
                name=names[row],
                at_s=float(row),
                work=math.inf,
                kind=Kind.JOB,
                accelerators=models if count else (),
                indifferent=True,
                accelerators_per_node=count,
                cpus=cpus[row] / 1000,
                memory_bytes=int(memory[row]) * MIB,
            )
        )
    return table_of(
        path.stem, rows, notes=["Pods come one a second and stay for good, as in FGD's protocol."]
    )


def _accelerators(sheet: Sheet, row: int, count: float, milli: float) -> float:
    """Whole accelerators, or a share of one."""
    if count and not 0 < milli <= 1000:
        sheet.refuse(row, "gpu_milli", f"expected 1 to 1000 for a pod with GPUs; got {milli:g}")
    elif count > 1 and milli != 1000:
        sheet.refuse(row, "gpu_milli", f"expected 1000, as the pod has {count:g} GPUs; got {milli:g}")
    return count if milli == 1000 else count * milli / 1000


def read_openb_fleet(path: Path, findings: Findings) -> Fleet:
    """The nodes of a node list, in its order. G2 and G3, which Alibaba does not name, have no price. O(rows)."""
    sheet = read_headed(path, findings, NODES)
    names = sheet.names("sn")
    cpus = sheet.numbers("cpu_milli", least=0)
    memory = sheet.numbers("memory_mib", least=0)
    counts = sheet.numbers("gpu", least=0, whole=True)
    models = sheet.texts("model", "")
    nodes: list[Node] = []
    for row in sheet.good():
        devices = models_in(sheet, row, "model", [models[row]] if counts[row] else []) * int(counts[row])
        nodes.append(
            Node(
                name=names[row],
                cpus=cpus[row] / 1000,
                memory_bytes=int(memory[row]) * MIB,
                accelerators=devices,
                price_per_hour=price_per_hour(devices),
            )
        )
    return Fleet(name=path.stem, nodes=tuple(nodes))
