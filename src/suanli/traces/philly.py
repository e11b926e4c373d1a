"""Microsoft's Philly trace, as Sia's authors extracted it: arrival, duration and number of GPUs of each job.

Source: msr-fiddle/philly-traces; Jeon et al., "Analysis of large-scale multi-tenant GPU clusters", USENIX ATC'19.
"""

from pathlib import Path

from suanli.spec.problems import Findings
from suanli.traces.accelerators import gang
from suanli.traces.context import Context
from suanli.traces.sheet import read_headed
from suanli.traces.table import ANY, Row, Table, table_of

COLUMNS = ("timestamp", "duration", "num_gpus", "cluster")


def read_philly(path: Path, findings: Findings, context: Context) -> Table:
    """Jobs by arrival, on whatever accelerators the fleet has, for their duration; their virtual cluster is the team.

    O(rows · log rows).
    """
    sheet = read_headed(path, findings, COLUMNS)
    at_s = sheet.instants_s("timestamp", "%Y-%m-%d %H:%M:%S")
    durations = sheet.numbers("duration", above=0)
    counts = sheet.numbers("num_gpus", least=1, whole=True)
    clusters = sheet.texts("cluster")
    rows: list[Row] = []
    for row in sheet.good():
        nodes, per_node = gang(int(counts[row]), context.devices_per_node)
        rows.append(
            Row(
                name=f"job-{row}",
                at_s=at_s[row],
                work=durations[row],
                team=clusters[row],
                nodes=nodes,
                accelerators=(ANY,),
                accelerators_per_node=per_node,
            )
        )
    return table_of(path.name.partition(".")[0], rows, shift=True)
