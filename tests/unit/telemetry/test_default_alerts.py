import math

import msgspec

from suanli.domain.alerts import AlertStatus
from suanli.ports.scripted_telemetry import ScriptedTelemetry
from suanli.telemetry.alerts import evaluate_all
from suanli.telemetry.default_alerts import default_rules, rules_with
from suanli.telemetry.readings import NODE_METRICS, WORKLOAD_METRICS


def test_every_shipped_rule_watches_a_metric_that_is_measured_and_says_what_is_wrong():
    rules = default_rules()
    assert len({rule.name for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert rule.metric in NODE_METRICS or rule.metric in WORKLOAD_METRICS
        assert rule.summary
        assert rule.window_s > 0
        assert rule.resolve_at is not None
        assert rule.resolve_at < rule.threshold if rule.above else rule.resolve_at > rule.threshold


def test_a_declared_rule_takes_the_place_of_the_shipped_one_of_its_name():
    own = msgspec.structs.replace(default_rules()[0], threshold=0.5)
    rules = rules_with([own])
    assert rules[0] is own
    assert len(rules) == len(default_rules())


def fired(telemetry: ScriptedTelemetry, until_s: int, every_s: int = 5) -> set[tuple[str, str]]:
    alerts, heard = (), set()
    for now_s in range(0, until_s, every_s):
        telemetry.record(float(now_s), [], [])
        alerts, changed = evaluate_all(
            default_rules(),
            telemetry,
            alerts,
            float(now_s),
            nodes={"n1", "full"},
            workloads={"train", "lazy"},
        )
        heard |= {(alert.rule, alert.subject) for alert in changed if alert.status is AlertStatus.FIRING}
    return heard


def test_a_healthy_cluster_is_quiet():
    telemetry = ScriptedTelemetry()
    telemetry.set_node("n1", cpu_fraction=0.8, memory_fraction=0.7, disk_fraction=0.5, network_fraction=0.2)
    telemetry.set_workload("train", held_accelerator_fraction=0.8, steps_per_s=3.0)
    assert fired(telemetry, 1_800) == set()


def test_what_is_wrong_is_heard_of():
    telemetry = ScriptedTelemetry()
    telemetry.set_node("full", cpu_fraction=1.0, memory_fraction=0.95, disk_fraction=0.92)
    telemetry.set_workload("lazy", held_accelerator_fraction=0.01)
    assert fired(telemetry, 1_800) == {
        ("node-cpu-hot", "full"),
        ("node-memory-nearly-full", "full"),
        ("node-disk-nearly-full", "full"),
        ("accelerator-idle-while-held", "lazy"),
    }


class Stepping(ScriptedTelemetry):
    """A program whose rate varies by a tenth."""

    def __init__(self, *, pauses: bool = False, halves_at_s: float = math.inf) -> None:
        super().__init__()
        self._pauses = pauses
        self._halves_at_s = halves_at_s

    def record(self, at_s: float, samples, attempts) -> None:
        rate = 10.0 + at_s % 2
        if self._pauses and at_s % 120 >= 110:
            rate = 1.0
        self.set_workload("train", steps_per_s=rate if at_s < self._halves_at_s else rate / 2)
        super().record(at_s, samples, attempts)


def test_a_program_that_suddenly_slows_down_is_heard_of():
    assert fired(Stepping(), 400, every_s=1) == set()
    assert fired(Stepping(halves_at_s=350.0), 400, every_s=1) == {("step-rate-drop", "train")}


def test_a_program_that_pauses_now_and_then_is_left_in_peace():
    assert fired(Stepping(pauses=True), 600, every_s=1) == set()
