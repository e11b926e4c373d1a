"""Declared services arrive as domain values in SI units."""

from tests.unit.spec.declared import workload

from suanli.domain.workload import (
    Access,
    Floor,
    Kind,
    ModelUse,
    Runtime,
    Scaling,
    Service,
    Slo,
    TokenPrice,
    Update,
)
from suanli.kernel.services import beginning


def test_a_service_in_full(declare):
    text = """
kind: serve
name: chat
run: python serve.py
model: {from: gpt}
port: 8080
health: /ready
replicas: 2..4
slo: {p95: 200ms, ttft_p95: 500ms, tpot_p95: 25ms, availability: 99.9%}
update: {strategy: canary, steps: [5%, 25%, 100%], auto_rollback: false}
"""
    service = workload(declare(text, known={"gpt"}))
    assert (service.kind, service.model_from, service.retry.limit) == (Kind.SERVE, "gpt", 10)
    assert service.service == Service(
        port=8080,
        health_path="/ready",
        replicas_min=2,
        replicas_max=4,
        slo=Slo(p95_s=0.2, ttft_p95_s=0.5, tpot_p95_s=0.025, availability=0.999),
        update=Update(strategy="canary", steps=(0.05, 0.25, 1), auto_rollback=False),
    )
    assert beginning(service, {}) == (("chat/0", 0), ("chat/1", 1))


def test_a_service_of_a_model_needs_no_command_and_says_how_requests_reach_it(declare):
    text = """
kind: serve
name: search
model: models:/minilm@prod
runtime: {name: transformers, task: embeddings, batch: 32, batch_wait: 2ms}
replicas: 0..4
scaling: {to_zero_after: 10m}
update: {strategy: blue-green, window: 30s, requests: 200, error_rate: 2%, ready_within: 2m}
gateway: {balance: affinity, concurrency: 8, queue: 50, queue_timeout: 5s, hold: 1m, deadline: 20s, hedge_after: 300ms,
  price: {tokens_in: 0.15, tokens_out: 0.60}}
drain: 10s
"""
    found = workload(declare(text))
    assert (found.run, found.model, found.model_from) == ((), ModelUse(ref="minilm@prod"), "")
    assert found.service == Service(
        health_path="/readyz",
        runtime=Runtime(name="transformers", task="embeddings", batch_max=32, batch_wait_s=0.002),
        replicas_min=0,
        replicas_max=4,
        update=Update(
            strategy="blue-green", window_s=30.0, requests_min=200, error_rate_max=0.02, ready_s=120.0
        ),
        access=Access(
            balance="affinity",
            concurrency=8,
            queue=50,
            queue_s=5.0,
            hold_s=60.0,
            deadline_s=20.0,
            hedge_after_s=0.3,
            idempotent=True,
            price=TokenPrice(usd_per_million_in=0.15, usd_per_million_out=0.6),
        ),
        drain_s=10.0,
        idle_s=600.0,
    )


def test_scaling_in_full(declare):
    text = """
kind: serve
name: a
run: x
replicas: 1..8
scaling:
  metric: concurrency
  target: 4
  upscale_delay: 10s
  downscale_delay: 10m
  forecast: weekly
  timezone: Asia/Shanghai
  schedule:
    - {at: "08:00", days: mon-fri, replicas: 4}
    - {at: "20:30", replicas: 1}
    - {at: 9:00, days: sat-mon, replicas: 2}
"""
    assert workload(declare(text)).service.scaling == Scaling(
        metric="concurrency",
        target=4.0,
        upscale_delay_s=10.0,
        downscale_delay_s=600.0,
        forecast="weekly",
        timezone="Asia/Shanghai",
        floors=(
            Floor(at_s=8 * 3600.0, days=(0, 1, 2, 3, 4), replicas=4),
            Floor(at_s=20.5 * 3600.0, replicas=1),
            Floor(at_s=9 * 3600.0, days=(5, 6, 0), replicas=2),
        ),
    )
    off = workload(declare("kind: serve\nname: a\nrun: x\nscaling: {metric: off}"))
    assert off.service.scaling == Scaling(metric="off")


def test_a_request_is_sent_again_only_where_asking_twice_does_nothing_twice(declare):
    own = workload(declare("kind: serve\nname: a\nmodel: m\nruntime: {name: python, code: 'a:B'}"))
    program = workload(declare("kind: serve\nname: a\nrun: x"))
    said = workload(declare("kind: serve\nname: a\nrun: x\ngateway: {idempotent: true}"))
    assert [w.service.access.idempotent for w in (own, program, said)] == [False, False, True]


def test_a_replica_is_one_worker_on_all_its_accelerators(declare):
    text = "kind: serve\nname: a\nmodel: {ref: chat}\nresources: {accelerators: [T4:4, H100:2]}\n"
    assert workload(declare(text)).workers_per_node == 1
    run = "kind: serve\nname: a\nrun: x\nresources: {accelerators: T4:4}\n"
    assert workload(declare(run)).workers_per_node == 1
    assert workload(declare(run + "workers_per_node: 2\nnodes: 2")).workers_per_node == 2


def test_vllm_may_spread_a_replica_over_nodes(declare):
    text = "kind: serve\nname: a\nmodel: m\nruntime: vllm\nnodes: 2\nresources: {accelerators: H100:8}\n"
    found = workload(declare(text))
    assert (found.nodes, found.workers_per_node) == (2, 1)
