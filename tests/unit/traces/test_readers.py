"""Each format, from a few rows that one can check by eye."""

import gzip
import math
from pathlib import Path

import msgspec
import pytest

from suanli.domain.errors import UsageError
from suanli.domain.resources import AcceleratorDemand
from suanli.spec import SpecErrors
from suanli.traces import Context, Row, read

JOB = "ResNet-18 (batch size 128)"
TABLES = {
    "v100": {
        f"('{JOB}', 1)": {"null": 20.0, f"('{JOB}', 1)": [12.0, 12.0]},
        f"('{JOB}', 4)": {"null": 70.0},
    },
    "p100": {f"('{JOB}', 1)": {"null": 10.0}, f"('{JOB}', 4)": {"null": 0.0}},
    "v100_unconsolidated": {f"('{JOB}', 4)": {"null": 30.0}},
}


def gavel_line(*, scale=1, steps=1000, weight="1", slo="-1.000000", at="0", job=JOB) -> str:
    return "\t".join(
        [job, "python3 main.py", "cifar10", "--steps", "1", str(steps), str(scale), weight, slo, at]
    )


@pytest.fixture
def throughputs(written) -> Context:
    return Context(throughputs=written("throughputs.json", msgspec.json.encode(TABLES).decode()))


def mistakes(error: pytest.ExceptionInfo[SpecErrors]) -> list[tuple[int, str]]:
    return [(problem.line, problem.field) for problem in error.value.problems]


def test_a_gavel_job_is_a_gang_of_single_device_nodes_with_measured_speeds(written, throughputs) -> None:
    path = written("a.trace", gavel_line(scale=4, steps=1400) + "\n" + gavel_line(at="7.5") + "\n")
    gang, single = read(f"gavel:{path}", throughputs).rows
    assert (gang.nodes, gang.accelerators_per_node, gang.work, gang.program) == (4, 1, 1400, JOB)
    assert gang.speeds == {"V100-16GB": 70.0}
    assert single.speeds == {"V100-16GB": 20.0, "P100": 10.0}
    assert single.accelerators == ("V100-16GB", "P100")
    assert single.at_s == 7.5


def test_a_gavel_slo_multiplies_the_duration_on_a_v100(written, throughputs) -> None:
    path = written("a.trace", gavel_line(slo="1.5", steps=1000, at="10"))
    assert read(f"gavel:{path}", throughputs).rows[0].deadline_s == 10 + 1.5 * 1000 / 20


def test_a_gavel_job_without_any_throughput_is_a_bad_row(written, throughputs) -> None:
    path = written("a.trace", gavel_line(scale=8) + "\n" + gavel_line(job="LM"))
    with pytest.raises(SpecErrors) as error:
        read(f"gavel:{path}", throughputs)
    assert mistakes(error) == [(1, "job type"), (2, "job type")]


def test_a_gavel_trace_asks_for_its_throughputs(written) -> None:
    with pytest.raises(UsageError, match="steps") as error:
        read(f"gavel:{written('a.trace', gavel_line())}")
    assert "--throughputs" in error.value.remedy


def test_weights_that_no_policy_knows_are_told(written, throughputs) -> None:
    table = read(f"gavel:{written('a.trace', gavel_line(weight='5'))}", throughputs)
    assert any("1 jobs have a weight" in note for note in table.notes)


def test_shockwave_does_with_durations_and_better_with_throughputs(written, throughputs) -> None:
    cells = [JOB, "x", "y", "-n", "1", "1000", "1", "gns", "1", "-1.0", "55", "3"]
    path = written("s.trace", "\t".join(cells))
    assert read(f"shockwave:{path}").rows[0].work == 55
    assert read(f"shockwave:{path}").rows[0].speeds == {}
    with_speeds = read(f"shockwave:{path}", throughputs)
    assert with_speeds.rows[0].work == 1000
    assert "1 jobs change their batch size" in with_speeds.notes[0]


OPENB = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"


def test_openb_pods_come_in_the_order_of_the_file_and_stay(written) -> None:
    path = written(
        "pods.csv", OPENB + "b,8000,1024,0,0,\na,500,1,1,460,V100M16|V100M32|V100M32\nc,0,0,2,1000,\n"
    )
    cpu_only, shared, two = read(f"openb:{path}").rows
    assert [row.name for row in (cpu_only, shared, two)] == ["b", "a", "c"]
    assert [row.at_s for row in (cpu_only, shared, two)] == [0, 1, 2]
    assert all(math.isinf(row.work) for row in (cpu_only, shared, two))
    assert (cpu_only.cpus, cpu_only.memory_bytes, cpu_only.accelerators) == (8, 2**30, ())
    assert (shared.accelerators, shared.accelerators_per_node) == (("V100-16GB", "V100-32GB"), 0.46)
    assert (two.accelerators, two.accelerators_per_node) == (("*",), 2)


def test_all_bad_rows_of_an_openb_file_are_told_at_once(written) -> None:
    rows = ["a,x,1,1,1000,", "b,1,1,2,500,", "c,1,1,1,0,", "a,1,1,1.5,1000,", "d,1,1,1,1000,H1000", "e,1,1"]
    with pytest.raises(SpecErrors) as error:
        read(f"openb:{written('pods.csv', OPENB + chr(10).join(rows))}")
    assert mistakes(error) == [
        (2, "cpu_milli"),
        (3, "gpu_milli"),
        (4, "gpu_milli"),
        (5, "name"),
        (5, "num_gpu"),
        (6, "gpu_spec"),
        (7, ""),
    ]
    assert "expected a number, at least 0; got 'x'" in str(error.value)
    assert "expected 6 cells; got 3" in str(error.value)


def test_philly_jobs_are_sorted_and_large_ones_span_nodes_of_eight(tmp_path: Path) -> None:
    text = (
        "timestamp,duration,num_gpus,gpu_time,cluster\n"
        "2017-10-09 07:01:55,66.0,12,66.0,blue\n2017-10-09 07:01:05,30.0,1,30.0,red\n\n"
    )
    path = tmp_path / "philly.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    early, late = read(f"philly:{path}").rows
    assert (early.at_s, early.team, early.work, early.nodes) == (0, "red", 30, 1)
    assert (late.at_s, late.nodes, late.accelerators_per_node) == (50, 2, 6)
    assert late.duration_s is None
    assert read(f"philly:{path}", Context(devices_per_node=4)).rows[1].nodes == 3


def test_a_date_that_is_none_is_a_bad_row(written) -> None:
    path = written(
        "p.csv", "timestamp,duration,num_gpus,cluster\nyesterday,1,1,a\n2017-10-09 07:01:05,-1,0,a\n"
    )
    with pytest.raises(SpecErrors) as error:
        read(f"philly:{path}")
    assert mistakes(error) == [(2, "timestamp"), (3, "duration"), (3, "num_gpus")]


ELASTICFLOW = (
    "job_id,submission_time,num_iteration,model_name,deadline,batch_size,num_gpu,duration\n"
    "b,200,600,bert,260,64,2,100\na,100,500,bert,300,64,16,50\n"
)


def test_elasticflow_jobs_keep_their_deadlines_as_the_clock_starts_with_the_first(written) -> None:
    first, second = read(f"elasticflow:{written('c.csv', ELASTICFLOW)}").rows
    assert (first.name, first.at_s, first.deadline_s, first.work) == ("a", 0, 200, 50)
    assert (first.nodes, first.accelerators_per_node) == (2, 8)
    assert (second.at_s, second.deadline_s) == (100, 160)


def test_elasticflow_speeds_come_from_the_tables_of_each_accelerator(written, tmp_path: Path) -> None:
    written("tables/throughputs_A100/bert.csv", "global_batch_size,1,2,16\n64,4.5,6.0,10.0\n")
    written("tables/throughputs_T4/bert.csv", "global_batch_size,1,2,16\n64,0.5,nan,\n")
    path = written("c.csv", ELASTICFLOW)
    first, second = read(f"elasticflow:{path}", Context(throughputs=tmp_path / "tables")).rows
    assert first.speeds == {"A100-40GB": 10.0}
    assert (second.work, second.accelerators) == (600, ("A100-40GB",))


def test_chronus_counts_minutes_and_jobs_without_gpus_are_left_out(written) -> None:
    head = "job_id,user,num_gpu,submit_time,iterations,model_name,duration,interval,expect_time_list\n"
    path = written("c.csv", head + "0,vc,0,5,1,vgg16,7,8,9\n1,vc,4,10,1,vgg16,7,8,9\n")
    table = read(f"chronus:{path}")
    (row,) = table.rows
    assert (row.at_s, row.work, row.deadline_s, row.team) == (0, 420, 540, "vc")
    assert "1 jobs ask for no GPU and are left out." in table.notes


def test_an_unknown_format_suggests_the_nearest() -> None:
    with pytest.raises(UsageError) as error:
        read("gavl:x.trace")
    assert error.value.remedy == "Did you mean gavel?"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe\x00", "UTF-8"), (b"name,at_s,work\n", "no workloads"), (None, "cannot be read")],
)
def test_what_is_no_trace_at_all_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read(str(path))


def test_a_missing_column_is_named_once(written) -> None:
    with pytest.raises(SpecErrors, match="no column `work`"):
        read(str(written("t.csv", "name,at_s,wrok\na,1,2\n")))


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv.gz"
    path.write_bytes(gzip.compress(b"timestamp,duration\n" * 1000)[:40])
    with pytest.raises(UsageError, match="cannot be read"):
        read(f"philly:{path}")


def test_rows_become_workloads_that_hide_the_true_work() -> None:
    from suanli.traces import Table, fleet_of, trace_of

    fleet = fleet_of("gavel:1xV100,2xK80")
    row = Row(name="a", at_s=3, work=50, program="p", accelerators=("*",), accelerators_per_node=1, nodes=2)
    (arrival,) = trace_of(Table(name="t", rows=(row,)), fleet).arrivals
    assert (arrival.at_s, arrival.work) == (3, 50)
    workload = arrival.workload
    assert (workload.work, workload.duration_s, workload.run, workload.nodes) == (None, None, ("p",), 2)
    assert workload.demand.accelerators == (AcceleratorDemand("V100-16GB", 1), AcceleratorDemand("K80", 1))
