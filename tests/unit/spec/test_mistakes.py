"""Every mistake says where it is, what was expected, and what to do."""

import itertools

import pytest

from suanli.spec import SpecErrors
from suanli.spec.schema import SHAPES, schema_of, walk

JOB = "kind: job\nname: a\nrun: x\n"
SERVE = "kind: serve\nname: a\nrun: x\n"
FLEET = "kind: fleet\nname: lab\nnodes:\n  - {name: n, cpus: 4, memory: 8GiB, accelerators: T4:2}\n"
ALERT = "kind: alert\nname: a\nmetric: cpu_fraction\n"

# text, place, field, part of the message, part of the remedy
WRONG = [
    # the form of the text
    ("kind: job\n\tname: a", "f.yaml:2:1", "", "this is not YAML", "spaces"),
    ("a: b: c", "f.yaml:1:5", "", "this is not YAML", "Quote a text that contains `: `"),
    ("a: [1, 2", "f.yaml:1:4", "", "this is not YAML", "brackets"),
    ("a: \0", "f.yaml:1:4", "", "this is not YAML", "unprintable"),
    ("a: \ud800", "f.yaml:1:4", "", "not valid Unicode", "UTF-8"),
    (JOB + "run: y", "f.yaml:4:1", "", "`run` is given twice, first on line 3", "Remove one"),
    (
        JOB + "env: &all {A: b}\nnode_labels: *all",
        "f.yaml:5:14",
        "",
        "aliases such as *all",
        "Write the value out",
    ),
    (JOB + "team: !!python/name:os.system x", "f.yaml:4:7", "", "tags such as", "Remove the tag"),
    (JOB + "? [a]\n: b", "f.yaml:4:3", "", "a key must be a word", "brackets"),
    ("- just a text", "f.yaml:1:3", "", "expected a mapping; got 'just a text'", "`kind` and `name`"),
    # kinds and names
    ("kind: trian\nname: a", "f.yaml:1:1", "kind", "expected one of fleet, train", "Did you mean `train`?"),
    ("name: a\nrun: x", "f.yaml:1:1", "kind", "got nothing", ""),
    ("kind: job\nrun: x", "f.yaml:1:1", "name", "`name` is missing", "For example `name: gpt`"),
    ("kind: job\nname: a", "f.yaml:1:1", "run", "`run` is missing", "For example `run: python train.py"),
    ("kind: job\nname: Big_Job\nrun: x", "f.yaml:2:1", "name", "lower-case letters", "For example"),
    ("kind: job\nname: " + "a" * 64 + "\nrun: x", "f.yaml:2:1", "name", "at most 63", "For example"),
    # unknown fields
    (JOB + "priorty: 3", "f.yaml:4:1", "priorty", "there is no field `priorty`", "Did you mean `priority`?"),
    (JOB + "cpus: 3", "f.yaml:4:1", "cpus", "no field", "It belongs under `resources`."),
    (JOB + "resources: {team: a}", "f.yaml:4:13", "resources.team", "no field", "beside `resources`"),
    (JOB + "resources:\n  gpus: 3", "f.yaml:5:3", "resources.gpus", "no field", "`accelerators`"),
    (JOB + "gpus: 3", "f.yaml:4:1", "gpus", "no field", "`resources.accelerators`"),
    (JOB + "num_nodes: 3", "f.yaml:4:1", "num_nodes", "no field", "`nodes`"),
    (JOB + "labels: {a: b}", "f.yaml:4:1", "labels", "no field", "`node_labels`"),
    (JOB + "replicas: 3", "f.yaml:4:1", "replicas", "no field", "Only documents of kind serve"),
    (SERVE + "slo: {p59: 1s}", "f.yaml:4:7", "slo.p59", "no field", "Did you mean `p95`?"),
    (
        SERVE + "update: {wombat: 1}",
        "f.yaml:4:10",
        "update.wombat",
        "no field",
        "The fields here are strategy",
    ),
    # values
    (JOB + "resources: {memory: 80}", "f.yaml:4:13", "resources.memory", "a size with its unit", "80GiB?"),
    (
        JOB + "resources: {memory: 80GX}",
        "f.yaml:4:13",
        "resources.memory",
        "a size with its unit",
        "For example",
    ),
    (JOB + "resources: {network: 10}", "f.yaml:4:13", "resources.network", "a bandwidth", "10Gbps?"),
    (JOB + "resources: {cpus: many}", "f.yaml:4:13", "resources.cpus", "a number of CPU cores", "`cpus: 4`"),
    (JOB + "resources: 4", "f.yaml:4:1", "resources", "expected a mapping; got '4'", ""),
    (JOB + "priority: 101", "f.yaml:4:1", "priority", "a whole number from 0 to 100", "`priority: 70`"),
    (JOB + "nodes: 2.5", "f.yaml:4:1", "nodes", "a whole number", "`nodes: 4`"),
    (JOB + "preemptible: maybe", "f.yaml:4:1", "preemptible", "expected true or false; got 'maybe'", ""),
    (JOB + "grace: soon", "f.yaml:4:1", "grace", "expected a duration", "`grace: 30s`"),
    (JOB + "duration: soon", "f.yaml:4:1", "duration", "expected a duration", "`duration: 2h`"),
    (JOB + "duration: {T4: 2h}", "f.yaml:4:12", "duration.T4", "it asks for no T4", "is none"),
    (JOB + "speeds: {T4: 0}", "f.yaml:4:10", "speeds.T4", "a number above 0", ""),
    (
        JOB + "resources: {accelerators: [T4:1, L4:1]}\nduration: {T4: 2h}",
        "f.yaml:5:1",
        "duration",
        "nothing is said of L4",
        "of each that it may get",
    ),
    (
        JOB + "resources: {accelerators: T4:1}\nduration: {T4: 2h}\nspeeds: {T4: 1}",
        "f.yaml:6:1",
        "speeds",
        "says by accelerator how fast",
        "Keep one",
    ),
    (
        JOB + "resources: {accelerators: T4:1}\nduration: {T4: 2h, '*': 3h}",
        "f.yaml:5:20",
        "duration.*",
        "stands for all",
        "Leave out one",
    ),
    (JOB + "grace:\n  - 3", "f.yaml:4:1", "grace", "expected a duration", "`grace: 30s`"),
    (
        JOB + "env: [A=b]",
        "f.yaml:4:1",
        "env",
        "expected a mapping of at most 1000 entries; got a list",
        "`env: {LR: 3e-4}`",
    ),
    (JOB + "env:\n  A:", "f.yaml:5:3", "env.A", "expected a text; got nothing", "env"),
    (JOB + "env: {1A: b}", "f.yaml:4:7", "env.1A", "a variable's name", "env"),
    (JOB + "not_before: tomorrow", "f.yaml:4:1", "not_before", "an instant such as", "2026-12-01"),
    (JOB + "checkpoint: 15m", "f.yaml:4:1", "checkpoint", "expected a mapping", "`checkpoint: {every: 15m}`"),
    (
        JOB + "retry: {on: [fail]}",
        "f.yaml:4:14",
        "retry.on[0]",
        "expected one of failed",
        "Did you mean `failed`?",
    ),
    (JOB + "idle: {below: 5, for: 30m}", "f.yaml:4:8", "idle.below", "a share", "Did you mean 5%?"),
    (JOB + "data: [{size: 1GiB}]", "f.yaml:4:8", "data[0].uri", "`uri` is missing", "s3://"),
    (JOB + "after: [Not-A-Name]", "f.yaml:4:9", "after[0]", "expected a name", "prepare"),
    (SERVE + "port: 70000", "f.yaml:4:1", "port", "from 1 to 65535", "`port: 8080`"),
    (SERVE + "replicas: 4..1", "f.yaml:4:1", "replicas", "a range such as 1..4", "Did you mean 1..4?"),
    (SERVE + "replicas: 0", "f.yaml:4:1", "replicas", "1 to 10,000 replicas, or from 0 on", "0..4"),
    (SERVE + "runtime: onnx", "f.yaml:4:1", "runtime", "`run` and `runtime` are two ways", "Keep one"),
    ("kind: serve\nname: a", "f.yaml:1:1", "", "a service needs `run` or `model`", "model: NAME@prod"),
    (
        "kind: serve\nname: a\nmodel: m\nruntime: python",
        "f.yaml:4:1",
        "runtime",
        "`code` and the runtime python go together",
        "code: my_model:Model",
    ),
    (SERVE + "model: ../etc", "f.yaml:4:1", "model", "names no model version", "minilm"),
    (SERVE + "update: {surge: 0}", "f.yaml:4:10", "update.surge", "none can be replaced", "unavailable: 1"),
    (SERVE + "scaling: {metric: cpu}", "f.yaml:4:11", "scaling.metric", "one of auto, slo", "rps"),
    (SERVE + "scaling: {metric: slo}", "f.yaml:4:11", "scaling.metric", "a latency that is promised", "p95"),
    (SERVE + "scaling: {metric: rps}", "f.yaml:4:11", "scaling.metric", "`rps` needs a target", "target: 20"),
    (SERVE + "scaling: {metric: schedule}", "f.yaml:4:11", "scaling.metric", "needs a schedule", "08:00"),
    (
        SERVE + "scaling: {metric: queue, target: 8, forecast: daily}",
        "f.yaml:4:37",
        "scaling.forecast",
        "`queue`",
        "rps",
    ),
    (
        SERVE + "slo: {p95: 1s}\nscaling: {forecast: daily}",
        "f.yaml:5:11",
        "scaling.forecast",
        "without",
        "gateway",
    ),
    (SERVE + "scaling: {target: 8}", "f.yaml:4:11", "scaling.target", "nothing is measured", "metric: rps"),
    (SERVE + "scaling: {metric: rps, target: 0}", "f.yaml:4:24", "scaling.target", "above 0", "target: 8"),
    (
        SERVE + "scaling: {metric: utilisation, target: 7}",
        "f.yaml:4:32",
        "scaling.target",
        "a share of at most 100%",
        "70%",
    ),
    (
        SERVE + "scaling: {schedule: [{at: 25:00, replicas: 1}]}",
        "f.yaml:4:23",
        "scaling.schedule[0].at",
        "a time of day",
        "08:00",
    ),
    (
        SERVE + "scaling: {schedule: [{at: 08:00, days: mo-fr, replicas: 1}]}",
        "f.yaml:4:34",
        "scaling.schedule[0].days",
        "expected days",
        "mon-fri",
    ),
    (
        SERVE + "scaling: {timezone: Mars/Olympus}",
        "f.yaml:4:11",
        "scaling.timezone",
        "a time zone",
        "Asia/Shanghai",
    ),
    (SERVE + "health: ok", "f.yaml:4:1", "health", "a path such as /healthz", "/healthz"),
    (SERVE + "slo: {p95: 200}\nslo2: 1", "f.yaml:5:1", "slo2", "no field", "Did you mean `slo`?"),
    (SERVE + "update: {steps: [50%, 20%]}", "f.yaml:4:10", "update.steps", "must grow", "5%, 25%, 100%"),
    (
        SERVE + "update: {strategy: canry}",
        "f.yaml:4:10",
        "update.strategy",
        "rolling, blue-green, canary",
        "`canary`",
    ),
    # values that don't go together
    (JOB + "elastic: 2..4\nnodes: 5", "f.yaml:5:1", "nodes", "outside `elastic: 2..4`", "Widen one"),
    (JOB + "elastic: 2..4\nresources: {nodes: 5}", "f.yaml:5:13", "resources.nodes", "outside", "Widen one"),
    (JOB + "elastic: 2+", "f.yaml:4:1", "elastic", "both ends", "1..4"),
    (JOB + "nodes: 2\nresources: {nodes: 3}", "f.yaml:5:13", "resources.nodes", "`nodes` is 2", "Keep one"),
    (
        JOB + "workers_per_node: 3\nresources: {accelerators: T4:4}",
        "f.yaml:4:1",
        "workers_per_node",
        "evenly",
        "same",
    ),
    (
        JOB + "resources: {accelerators: [T4:4, H100:2]}",
        "f.yaml:4:13",
        "resources.accelerators",
        "different counts",
        "workers_per_node",
    ),
    *(
        (
            f"kind: serve\nname: a\nmodel: {{ref: chat}}\n{wide}",
            place,
            field,
            "a runtime's replica is one process",
            "accelerators on one node",
        )
        for wide, place, field in (
            ("workers_per_node: 2\nresources: {accelerators: T4:2}", "f.yaml:4:1", "workers_per_node"),
            ("nodes: 2", "f.yaml:4:1", "nodes"),
            ("resources: {nodes: 2}", "f.yaml:4:13", "resources.nodes"),
        )
    ),
    (JOB + "workdir: ~/x", "f.yaml:4:1", "workdir", "`~` is not expanded", "whole path"),
    # accelerators
    (JOB + "resources: {accelerators: H1000:8}", "f.yaml:4:13", "resources.accelerators", "'H1000'", "H100"),
    (
        JOB + "resources:\n  accelerators: [T4, T44]",
        "f.yaml:5:22",
        "resources.accelerators[1]",
        "'T44'",
        "T4",
    ),
    (
        JOB + "resources: {accelerators: T4:1.5}",
        "f.yaml:4:13",
        "resources.accelerators",
        "a count is whole",
        "",
    ),
    # commands
    ("kind: job\nname: a\nrun: cd x && y", "f.yaml:3:1", "run", "`&&` needs", '[bash, -c, "cd x && y"]'),
    ("kind: job\nname: a\nrun: x | tee y", "f.yaml:3:1", "run", "`|` needs", "[bash, -c"),
    ("kind: job\nname: a\nrun: x > y", "f.yaml:3:1", "run", "`>` needs", "[bash, -c"),
    ("kind: job\nname: a\nrun: x --port $PORT", "f.yaml:3:1", "run", "needs", "[bash, -c"),
    ("kind: job\nname: a\nrun: |\n  x\n  y", "f.yaml:3:1", "run", "a second line needs", "[bash, -c"),
    ("kind: job\nname: a\nrun: LR=1 x", "f.yaml:3:1", "run", "assignment 'LR=1'", "`env`"),
    ("kind: job\nname: a\nrun: x 'y", "f.yaml:3:1", "run", "No closing quotation", "Close the quote"),
    ("kind: job\nname: a\nrun: []", "f.yaml:3:1", "run", "expected a command", "python train.py"),
    ("kind: job\nname: a\nrun: [x, {y: z}]", "f.yaml:3:1", "run", "word 2 is a mapping", "For example"),
    ('kind: job\nname: a\nrun: [x, "\\0"]', "f.yaml:3:1", "run", "NUL", ""),
    # dependencies
    (JOB + "after: b", "f.yaml:4:1", "after", "no workload is called 'b'", ""),
    (JOB + "after: a", "f.yaml:4:1", "after", "a waits for a", "Remove one"),
    (JOB + "model: {from: b}", "f.yaml:4:9", "model.from", "no workload is called 'b'", ""),
    (
        JOB + "after: prepar\n---\nkind: job\nname: prepare\nrun: x",
        "f.yaml:4:1",
        "after",
        "'prepar'",
        "`prepare`",
    ),
    (JOB + "after: s\n---\nkind: serve\nname: s\nrun: x", "f.yaml:4:1", "after", "never ends", "Wait for"),
    # fleets
    ("kind: fleet\nname: lab", "f.yaml:1:1", "nodes", "`nodes` is missing", ""),
    ("kind: fleet\nname: lab\nnodes: []", "f.yaml:3:1", "nodes", "a fleet needs nodes", ""),
    (
        FLEET + "  - {name: n, cpus: 1, memory: 1GiB}",
        "f.yaml:5:6",
        "nodes[1].name",
        "other on line 4",
        "Rename",
    ),
    (FLEET + "  - {name: m, cpus: 1}", "f.yaml:5:5", "nodes[1].memory", "`memory` is missing", "2TiB"),
    (FLEET + "links: [{between: [n, m], bandwidth: 1Gbps}]", "f.yaml:5:23", "links[0].between[1]", "'m'", ""),
    (
        FLEET + "links: [{between: [n], bandwidth: 1Gbps}]",
        "f.yaml:5:10",
        "links[0].between",
        "of 2 items",
        "berlin",
    ),
    (FLEET + "teams: {t: {quota: {H1000: 3}}}", "f.yaml:5:21", "teams.t.quota.H1000", "'H1000'", "H100"),
    (FLEET + "teams: {t: {quota: {cpu: 3}}}", "f.yaml:5:21", "teams.t.quota.cpu", "a quota is of", "cpus"),
    (FLEET + "teams: {t: {quota: {cpus: x}}}", "f.yaml:5:21", "teams.t.quota.cpus", "a number such as", ""),
    (FLEET + "teams: {t: {weight: 0}}", "f.yaml:5:13", "teams.t.weight", "a number above 0", ""),
    (FLEET + "teams: {t: {qouta: {}}}", "f.yaml:5:13", "teams.t.qouta", "no field", "`quota`"),
    (
        FLEET + "accelerators: [{name: X, memory: 1GiB, aliases: [T4]}]",
        "f.yaml:5:1",
        "accelerators",
        "T4",
        "",
    ),
    (
        "kind: fleet\nname: lab\nnodes: [{name: n, cpus: 4, memory: 8GiB, accelerators: T4:0.5}]",
        "f.yaml:3:42",
        "nodes[0].accelerators",
        "whole accelerators",
        "",
    ),
    (FLEET + "labels: {a: b}", "f.yaml:5:1", "labels", "no field", "It belongs under `nodes[]`."),
    # alerts
    (ALERT, "f.yaml:1:1", "", "one of `above` and `below`", "above: 90%"),
    (ALERT + "above: high", "f.yaml:4:1", "above", "a level such as", "90%"),
    (ALERT + "above: 50%\nresolve_at: 60%", "f.yaml:5:1", "resolve_at", "below 0.5", ""),
    (ALERT + "above: 1\ntest: average", "f.yaml:5:1", "test", "expected one of mean", ""),
]


@pytest.mark.parametrize(("text", "place", "field", "message", "remedy"), WRONG)
def test_a_mistake_tells_its_place_what_was_expected_and_a_remedy(
    mistakes, text, place, field, message, remedy
):
    (problem,) = mistakes(text)
    assert f"{problem.file}:{problem.line}:{problem.column}" == place
    assert problem.field == field
    assert message in problem.message
    assert remedy in problem.remedy


def test_all_mistakes_of_all_files_are_told_at_once_in_their_order(mistakes):
    first = "kind: job\nname: a\nrun: x\npriorty: 1\nresources: {accelerators: H1000}\nreplicas: 2"
    second = "kind: train\nname: b\nrun: x | y\n---\nkind: job\nname: a\nrun: x\n---\na: [1"
    told = [(problem.file, problem.line, problem.document) for problem in mistakes(first, second)]
    assert told == [
        ("f.yaml", 4, "job a"),
        ("f.yaml", 5, "job a"),
        ("f.yaml", 6, "job a"),
        ("g.yaml", 3, "train b"),
        ("g.yaml", 6, "job a"),
        ("g.yaml", 9, ""),
    ]


def test_of_two_workloads_of_one_name_both_places_are_told(mistakes):
    (problem,) = mistakes("kind: job\nname: a\nrun: x", "kind: serve\n\nname: a\nrun: x")
    assert (problem.file, problem.line) == ("g.yaml", 3)
    assert "the other at f.yaml:2:1" in problem.message


def test_of_two_fleets_both_places_are_told(mistakes):
    (problem,) = mistakes(FLEET, FLEET)
    assert problem.file == "g.yaml"
    assert "f.yaml:1:1" in problem.message


def test_a_cycle_is_told_from_one_end_to_the_same(mistakes):
    chain = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
    (problem,) = mistakes("\n---\n".join(f"kind: job\nname: {x}\nrun: x\nafter: {y}" for x, y in chain))
    told = problem.message.removeprefix("this never starts: ").split(" waits for ")
    assert told[0] == told[-1]
    assert set(itertools.pairwise(told)) == {("a", "b"), ("b", "c"), ("c", "a")}


def test_two_cycles_are_two_mistakes(mistakes):
    pairs = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]
    text = "\n---\n".join(f"kind: job\nname: {x}\nrun: x\nafter: {y}" for x, y in pairs)
    assert len(mistakes(text)) == 2


def test_a_file_cut_short_blames_no_dependency_on_what_could_not_be_read(mistakes):
    (problem,) = mistakes("kind: job\nname: a\nrun: x\nafter: b\n---\nkind: job\nname: b\nrun: [x")
    assert "not YAML" in problem.message


def test_the_error_carries_every_problem_as_evidence(declare):
    with pytest.raises(SpecErrors) as caught:
        declare("kind: job\nname: a\nrun: x\npriority: 200\nport: 80")
    error = caught.value
    assert error.sentence == "There are 2 mistakes in f.yaml."
    assert (error.code, error.exit_code, error.http_status) == ("SL-SPEC", 2, 422)
    assert [problem["line"] for problem in error.evidence["problems"]] == [4, 5]
    assert str(error).startswith(
        "f.yaml:4:1: job a: priority: expected a whole number from 0 to 100; got '200'\n"
    )


def test_one_mistake_is_the_sentence_and_the_remedy_of_the_error(declare):
    with pytest.raises(SpecErrors) as caught:
        declare("kind: job\nname: a\nrun: x\npriorty: 2")
    assert caught.value.sentence == "f.yaml:4:1: job a: priorty: there is no field `priorty` here"
    assert caught.value.remedy == "Did you mean `priority`?"


def test_reading_ends_after_many_mistakes_and_says_so(declare):
    with pytest.raises(SpecErrors) as caught:
        declare("\n---\n".join("kind: job" for _ in range(1000)))
    assert len(caught.value.problems) == 500
    assert "more than 500 mistakes" in caught.value.sentence


def test_every_field_is_described():
    for kind in SHAPES:
        for path, field in walk(schema_of(kind)):
            assert field.get("description"), (kind, path)
