"""What is declared arrives as domain values in SI units."""

import json
import time

import msgspec
import pytest
from tests.unit.spec.declared import workload

from suanli.catalog.accelerators import load
from suanli.domain.alerts import AlertRule, AlertTest
from suanli.domain.fleet import Link, Node, NodeScaling, Storage, Team
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import (
    Dataset,
    EndCause,
    IdleRule,
    Kind,
    Retry,
    Workload,
)
from suanli.kernel.services import beginning
from suanli.spec import Source, SpecErrors, read

GiB, TiB = 2**30, 2**40
NOW_S = 1_800_000_000.0


def test_a_job_needs_a_kind_a_name_and_a_command(declare):
    assert workload(declare("kind: job\nname: a\nrun: python x.py")) == Workload(
        name="a", kind=Kind.JOB, run=("python", "x.py"), workdir="/home/ada"
    )


def test_a_training_job_in_full(declare):
    text = """
kind: train
name: gpt
team: nlp
run: [python, train.py, --lr, 3e-4]
resources:
  cpus: 64+
  memory: 512GiB+
  disk: 2TiB
  network: 100Gbps
  accelerators: [h100:8, a100-80gb:8]
nodes: 2
elastic: 1..4
priority: 70
preemptible: no
hold: true
env: {PYTHON: 3.10, DEBUG: on, LIMIT: 08, EMPTY: ""}
workdir: src/../code
after: prepare
not_before: 2h
duration: 1h30m
deadline: 2030-01-01T00:00+08:00
checkpoint: {every: 15m}
grace: 1m
processes: 512
retry: {limit: 3, delay: 30s, on: [failed]}
idle: {below: 5%, for: 30m, then: stop}
data: [{uri: "s3://corpora/web", size: 2TiB, at: rack-1}]
outputs: [checkpoint]
node_labels: {disk: nvme}
"""
    assert workload(declare(text, known={"prepare"})) == Workload(
        name="gpt",
        kind=Kind.TRAIN,
        run=("python", "train.py", "--lr", "3e-4"),
        demand=Demand(
            cpus=64,
            memory_bytes=512 * GiB,
            disk_bytes=2 * TiB,
            network_bps=100e9,
            accelerators=(AcceleratorDemand("H100", 8), AcceleratorDemand("A100-80GB", 8)),
        ),
        nodes=2,
        elastic_nodes=(1, 4),
        workers_per_node=8,
        team="nlp",
        priority=70,
        preemptible=False,
        held=True,
        env={"PYTHON": "3.10", "DEBUG": "on", "LIMIT": "08", "EMPTY": ""},
        workdir="/home/ada/code",
        after=("prepare",),
        not_before_s=NOW_S + 7200,
        duration_s=5400,
        deadline_s=1893427200,
        checkpoint_every_s=900,
        grace_s=60,
        processes_max=512,
        retry=Retry(limit=3, delay_s=30, on=(EndCause.FAILED,)),
        idle=IdleRule(below=0.05, for_s=1800, then="stop"),
        data=(Dataset(uri="s3://corpora/web", size_bytes=2 * TiB, at="rack-1"),),
        outputs=("checkpoint",),
        node_labels={"disk": "nvme"},
    )


def test_a_job_is_one_record_of_its_own_name(declare):
    assert beginning(workload(declare("kind: job\nname: a\nrun: x")), {}) == (("a", None),)


def test_a_fleet_in_full(declare):
    text = """
kind: fleet
name: lab
accelerators:
  - {name: X1, memory: 48GiB, price: 1.20/h, aliases: [x-one], tdp: 350W}
nodes:
  - {name: big, count: 2, cpus: 128, memory: 2TiB, accelerators: x-one:4, network: 400Gbps, storage: 30TiB,
     site: berlin, zone: a, rack: r1, labels: {disk: nvme}, power: {idle: 120W, max: 700W per accelerator}}
  - name: files
    cpus: 32
    memory: 256GiB
    disk: 1TiB
    storage: [{name: sda, capacity: 4TB, spins: true, read: 200MB/s}]
    price: 0.5/h
links: [{between: [berlin, files], bandwidth: 10Gbps, latency: 8ms}]
teams: {nlp: {quota: {cpus: 64, memory: 1TiB, x1: 3}, weight: 2}}
scaling: {template: {name: extra, cpus: 8, memory: 32GiB, price: 1/h}, max: 4, add_after: 2m, remove_after: 1h}
"""
    fleet = declare(text).fleet
    big = Node(
        name="big-0",
        cpus=128,
        memory_bytes=2 * TiB,
        accelerators=("X1",) * 4,
        disk_bytes=30 * TiB,
        storage=(Storage(name="disk", capacity_bytes=30 * TiB),),
        network_bps=400e9,
        site="berlin",
        zone="a",
        rack="r1",
        labels={"disk": "nvme"},
        price_per_hour=4.8,
        idle_power_w=120,
        max_power_w=2800,
    )
    files = Node(
        name="files",
        cpus=32,
        memory_bytes=256 * GiB,
        disk_bytes=TiB,
        storage=(Storage(name="sda", capacity_bytes=4 * 10**12, spins=True, read_bytes_per_s=2e8),),
        price_per_hour=0.5,
    )
    assert fleet.nodes == (big, msgspec.structs.replace(big, name="big-1"), files)
    assert fleet.links == (Link(ends=("berlin", "files"), bandwidth_bps=10e9, latency_s=0.008),)
    assert fleet.teams == (Team(name="nlp", weight=2, quota={"cpus": 64, "memory_bytes": TiB, "X1": 3}),)
    assert fleet.scaling == NodeScaling(
        template=Node(name="extra", cpus=8, memory_bytes=32 * GiB, price_per_hour=1),
        nodes_max=4,
        add_after_s=120,
        remove_after_s=3600,
    )


def test_an_alert(declare):
    text = "kind: alert\nname: low\nmetric: steps_per_s\ntest: zscore\nbelow: -8\nresolve_at: -3\nfor: 2m"
    assert declare(text).alerts == (
        AlertRule(
            name="low",
            metric="steps_per_s",
            test=AlertTest.ZSCORE,
            threshold=-8,
            above=False,
            for_s=120,
            resolve_at=-3,
        ),
    )


@pytest.mark.parametrize(
    ("level", "threshold"), [("90%", 0.9), ("20GiB", 20 * GiB), ("300W", 300), ("0.00005", 5e-5)]
)
def test_a_level_is_a_number_or_a_quantity(declare, level, threshold):
    assert declare(f"kind: alert\nname: a\nmetric: m\nabove: {level}").alerts[0].threshold == threshold


def test_words_that_yaml_takes_for_truth_stay_words(declare):
    text = "kind: train\nname: no\nrun: [yes, off]\nretry: {limit: 1, on: [failed]}\nenv: {on: off}"
    job = workload(declare(text))
    assert (job.name, job.run, job.env) == ("no", ("yes", "off"), {"on": "off"})
    assert job.retry.on == (EndCause.FAILED,)


def test_a_field_without_a_value_counts_as_absent(declare):
    assert workload(declare("kind: job\nname: a\nrun: x\nenv:\nduration: null\nteam: ~")).team == "default"


def test_json_says_the_same(declare):
    document = {
        "kind": "job",
        "name": "a",
        "run": ["echo", "\U0001f600 \\ud83d\\ude00"],
        "resources": {"cpus": 2, "accelerators": {"T4": 1}},
        "nodes": 2,
        "preemptible": False,
        "env": {"A": "算力"},
    }
    text = json.dumps(document, indent="\t")
    job = workload(declare(text))
    assert job.run == ("echo", "\U0001f600 \\ud83d\\ude00")
    assert job.demand == Demand(cpus=2, accelerators=(AcceleratorDemand("T4", 1),))
    assert (job.nodes, job.preemptible, job.env) == (2, False, {"A": "算力"})
    assert declare(f"[{text}]").workloads == (job,)


def test_several_files_of_several_documents_are_one_declaration(declare):
    fleet = "kind: fleet\nname: lab\nnodes: [{name: n, cpus: 4, memory: 8GiB}]"
    both = declare(
        fleet + "\n---\n# nothing here\n---\nkind: job\nname: a\nrun: x", "kind: job\nname: b\nrun: x"
    )
    assert both.fleet is not None
    assert [item.name for item in both.workloads] == ["a", "b"]


def test_workers_are_one_per_accelerator_else_one_and_have_a_cpu_each(declare):
    def shape(resources):
        job = workload(declare(f"kind: job\nname: a\nrun: x\nresources: {resources}"))
        return job.workers_per_node, job.demand.cpus

    assert shape("{accelerators: T4:4}") == (4, 4)
    assert shape("{accelerators: T4:0.5}") == (1, 1)
    assert shape("{memory: 1GiB}") == (1, 1)


def test_how_long_it_runs_may_be_said_by_accelerator_and_is_work_for_the_slowest(declare):
    text = "kind: train\nname: a\nrun: x\nresources: {accelerators: [H100:8, A100-80GB:8]}\n"
    job = workload(declare(text + "duration: {a100-80gb: 12h, H100: 6h}"))
    assert (job.duration_s, job.work, job.speeds) == (None, 43_200.0, {"A100-80GB": 1.0, "H100": 2.0})
    assert workload(declare(text + "duration: 6h")).duration_s == 21_600.0


def test_where_nobody_knows_how_long_it_runs_speeds_say_where_it_runs_faster(declare):
    text = "kind: train\nname: a\nrun: x\nresources: {accelerators: [H100:8, A100-80GB:8]}\n"
    job = workload(declare(text + "speeds: {H100: 2.3, A100-80GB: 1}"))
    assert (job.duration_s, job.work, job.speeds) == (None, None, {"H100": 2.3, "A100-80GB": 1.0})
    job = workload(declare(text + "speeds: {H100: 2.3, A100-80GB: 1}\nduration: 1h"))
    assert (job.duration_s, job.work) == (3600.0, None)


def test_nodes_may_stand_beside_or_under_resources(declare):
    assert workload(declare("kind: job\nname: a\nrun: x\nnodes: 3")).nodes == 3
    assert workload(declare("kind: job\nname: a\nrun: x\nresources: {nodes: 3}")).nodes == 3


def test_elastic_work_without_nodes_asks_for_the_fewest(declare):
    assert workload(declare("kind: train\nname: a\nrun: x\nelastic: 2..4")).nodes == 2


def test_a_command_is_split_as_a_shell_would_and_quotes_keep_what_only_a_shell_reads(declare):
    def argv(run):
        return workload(declare(f"kind: job\nname: a\nrun: {run}")).run

    assert argv("python x.py --name 'a b' \"c d\" e\\ f") == ("python", "x.py", "--name", "a b", "c d", "e f")
    assert argv("echo 'a && $b | c' \"x > y\" \\$z") == ("echo", "a && $b | c", "x > y", "$z")
    assert argv(">\n  python x.py\n  --fast") == ("python", "x.py", "--fast")
    assert argv("|\n  python x.py \\\n    --fast") == ("python", "x.py", "--fast")
    assert argv('[bash, -c, "cd x && python y.py"]') == ("bash", "-c", "cd x && python y.py")


def test_own_accelerators_serve_the_workloads_of_the_same_files(declare):
    fleet = "kind: fleet\nname: lab\nnodes: [{name: n, cpus: 4, memory: 8GiB, accelerators: X:2}]\n"
    own = "accelerators: [{name: X, memory: 8GiB, aliases: [ex]}]"
    read = declare("kind: job\nname: a\nrun: x\nresources: {accelerators: ex}", fleet + own)
    assert workload(read).demand.accelerators == (AcceleratorDemand("X", 1),)
    assert [accelerator.name for accelerator in read.accelerators] == ["X"]


JOB = "kind: job\nname: a\nrun: x\n"
FLEET = "kind: fleet\nname: f\nnodes: [{name: n, cpus: 1, memory: 1GiB, accelerators: X}]\n"
OWN = "accelerators: [{name: X, memory: 1GiB, price: 1/h}]\n"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (JOB + "not_before: 2030-01-01T00:00", "no time zone"),
        (JOB + "deadline: 2020-01-01T00:00Z", "past"),
        (FLEET + OWN + "teams: {nlp: {}}\n---\n" + JOB + "team: nlq", "no team 'nlq'"),
        (FLEET + OWN + "---\n" + JOB + "data: [{uri: x, at: m}]", "no place 'm'"),
        (FLEET + "accelerators: [{name: X, memory: 1GiB}]", "no price is known for X"),
    ],
)
def test_what_is_allowed_but_seldom_meant_is_a_warning(declare, text, warned):
    (warning,) = declare(text).warnings
    assert warned in warning.message
    assert warning.line > 0


def test_without_a_folder_a_relative_workdir_is_refused_and_none_is_assumed(declare):
    def from_nowhere(more=""):
        source = Source("<request>", "kind: job\nname: a\nrun: x\n" + more)
        return workload(read([source], lambda own: load(), now_s=NOW_S)).workdir

    assert from_nowhere() == ""
    assert from_nowhere("workdir: /srv/x/") == "/srv/x"
    with pytest.raises(SpecErrors, match="no folder"):
        from_nowhere("workdir: x")


@pytest.mark.speed
def test_a_thousand_workloads_are_read_in_two_seconds(declare):
    one = """kind: train
name: job-{0}
team: nlp
resources: {{cpus: 4, memory: 16GiB, accelerators: [H100:8, A100-80GB:8]}}
nodes: 2
elastic: 1..4
run: [python, train.py, --lr, 1e-3]
env: {{A: b, C: d}}
checkpoint: {{every: 15m}}
duration: 2h
retry: {{limit: 3, on: [failed]}}
"""
    text = "---\n".join(one.format(number) for number in range(1000))
    began_s = time.process_time()
    assert len(declare(text).workloads) == 1000
    assert time.process_time() - began_s < 2
