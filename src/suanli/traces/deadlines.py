"""Two traces of training jobs with deadlines: ElasticFlow's and Chronus'.

Sources: microsoft/elasticflow-traces (Gu et al., ASPLOS'23); S-Lab-System-Group/ChronusArtifact (Gao et al., SoCC'21).
"""

from pathlib import Path

from suanli.spec.problems import Findings
from suanli.traces.accelerators import gang
from suanli.traces.context import Context
from suanli.traces.sheet import read_headed
from suanli.traces.table import ANY, Row, Table, table_of
from suanli.traces.throughputs import elasticflow_speeds, program_of

ELASTICFLOW = (
    "job_id",
    "submission_time",
    "num_iteration",
    "model_name",
    "deadline",
    "batch_size",
    "num_gpu",
    "duration",
)
CHRONUS = ("job_id", "user", "num_gpu", "submit_time", "model_name", "duration", "expect_time_list")
CHRONUS_UNIT_S = 60.0


def read_elasticflow(path: Path, findings: Findings, context: Context) -> Table:
    """Jobs of the recorded size. With throughputs the work is iterations, else the recorded seconds. O(rows)."""
    speeds = elasticflow_speeds(context.throughputs, findings) if context.throughputs else None
    sheet = read_headed(path, findings, ELASTICFLOW)
    names, models = sheet.names("job_id"), sheet.texts("model_name")
    at_s = sheet.numbers("submission_time", least=0)
    iterations = sheet.numbers("num_iteration", above=0)
    deadlines = sheet.numbers("deadline", least=0)
    batches = sheet.numbers("batch_size", least=1, whole=True)
    counts = sheet.numbers("num_gpu", least=1, whole=True)
    durations = sheet.numbers("duration", above=0)
    rows: list[Row] = []
    for row in sheet.good():
        program = program_of(models[row], batches[row])
        measured = {} if speeds is None else speeds.get((program, int(counts[row])), {})
        if speeds is not None and not measured:
            message = f"no accelerator's throughput is known for {program!r} on {counts[row]:g}"
            sheet.refuse(row, "model_name", message)
            continue
        nodes, per_node = gang(int(counts[row]), context.devices_per_node)
        rows.append(
            Row(
                name=names[row],
                at_s=at_s[row],
                work=iterations[row] if measured else durations[row],
                program=program,
                nodes=nodes,
                accelerators=tuple(measured) or (ANY,),
                accelerators_per_node=per_node,
                speeds=measured,
                deadline_s=deadlines[row],
            )
        )
    return table_of(path.stem, rows, shift=True)


def read_chronus(path: Path, findings: Findings, context: Context) -> Table:
    """Jobs on any accelerator of the fleet, read as in minutes; those that ask for no GPU are left out. O(rows)."""
    sheet = read_headed(path, findings, CHRONUS)
    names, users, models = sheet.names("job_id"), sheet.texts("user"), sheet.texts("model_name")
    counts = sheet.numbers("num_gpu", least=0, whole=True)
    submitted = sheet.numbers("submit_time", least=0)
    durations = sheet.numbers("duration", above=0)
    allowed = sheet.numbers("expect_time_list", above=0)
    rows: list[Row] = []
    without = 0
    for row in sheet.good():
        if not counts[row]:
            without += 1
            continue
        nodes, per_node = gang(int(counts[row]), context.devices_per_node)
        rows.append(
            Row(
                name=f"job-{names[row]}",
                at_s=submitted[row] * CHRONUS_UNIT_S,
                work=durations[row] * CHRONUS_UNIT_S,
                program=models[row],
                team=users[row],
                nodes=nodes,
                accelerators=(ANY,),
                accelerators_per_node=per_node,
                deadline_s=(submitted[row] + allowed[row]) * CHRONUS_UNIT_S,
            )
        )
    notes = ["Times are read as minutes: the file does not say, but a fortnight fits what it tells."]
    notes += [f"{without} jobs ask for no GPU and are left out."] if without else []
    return table_of(path.stem, rows, shift=True, notes=notes)
