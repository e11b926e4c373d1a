"""The part of a workload that only services have, and what only its values together can get wrong."""

from suanli.domain.workload import Access, Floor, Gate, Runtime, Scaling, Service, Slo, TokenPrice, Update
from suanli.spec.scope import Path, Scope
from suanli.spec.serve_shape import DAYS, GatewayShape, RuntimeShape, ScalingShape, Serve

REPLICAS_MAX = 10_000

REPEATABLE = ("transformers", "onnx", "vllm")
"""Runtimes that only compute: asking twice does nothing twice."""


def service_of(shape: Serve, scope: Scope) -> Service:
    """Whatever is wrong with it goes to the scope."""
    _check_replicas(shape, scope)
    _check_program(shape, scope)
    _check_one_process(shape, scope)
    if shape.health is not None and not shape.health.startswith("/"):
        scope.refuse(
            ("health",),
            f"expected a path such as /healthz; got {shape.health!r}",
            "For example `health: /healthz`.",
        )
    runs_model = not shape.run
    return Service(
        port=shape.port,
        health_path=shape.health or _health(shape),
        runtime=_runtime(shape.runtime) if runs_model else None,
        replicas_min=shape.replicas[0],
        replicas_max=shape.replicas[1],
        slo=Slo(
            p95_s=shape.slo.p95,
            ttft_p95_s=shape.slo.ttft_p95,
            tpot_p95_s=shape.slo.tpot_p95,
            availability=shape.slo.availability,
        ),
        update=_update(shape, scope),
        access=_access(shape.gateway, runs_model=runs_model, runtime=shape.runtime),
        drain_s=shape.drain,
        idle_s=shape.scaling.to_zero_after,
        scaling=_scaling(shape, scope),
    )


def _check_replicas(shape: Serve, scope: Scope) -> None:
    fewest, most = shape.replicas
    if most == 0 or max(fewest, most or 0) > REPLICAS_MAX:
        scope.refuse(
            ("replicas",),
            f"expected 1 to {REPLICAS_MAX:,} replicas, or from 0 on",
            "For example `replicas: 1..4`, or `0..4` for none while nobody asks.",
        )


def _check_one_process(shape: Serve, scope: Scope) -> None:
    """Of a runtime, on each of its nodes; what `run` names may be made of many that find each other."""
    wide: dict[Path, int | None] = {("workers_per_node",): shape.workers_per_node}
    if shape.runtime is None or shape.runtime.name != "vllm":
        wide |= {("nodes",): shape.nodes, ("resources", "nodes"): shape.resources.nodes}
    for field, count in wide.items():
        if not shape.run and count is not None and count > 1:
            scope.refuse(
                field,
                f"a runtime's replica is one process; got {count}",
                "Give it accelerators on one node, let `vllm` spread it over nodes, or say what serves it with `run`.",
            )


def _scaling(shape: Serve, scope: Scope) -> Scaling:
    scaling, slo = shape.scaling, shape.slo
    metric = scaling.metric
    if metric == "slo" and slo.p95 is None and slo.ttft_p95 is None and slo.tpot_p95 is None:
        scope.refuse(
            ("scaling", "metric"),
            "`slo` needs a latency that is promised",
            "For example `slo: {p95: 200ms}`.",
        )
    if metric == "schedule" and not scaling.schedule:
        scope.refuse(
            ("scaling", "metric"),
            "`schedule` needs a schedule",
            'For example `schedule: [{at: "08:00", replicas: 4}]`.',
        )
    _check_target(scaling, scope)
    _check_forecast(shape, scope)
    return Scaling(
        metric="" if metric == "auto" else metric,
        target=scaling.target,
        upscale_delay_s=scaling.upscale_delay,
        downscale_delay_s=scaling.downscale_delay,
        forecast=scaling.forecast,
        floors=tuple(
            Floor(at_s=each.at, days=tuple(map(DAYS.index, each.days)), replicas=each.replicas)
            for each in scaling.schedule
        ),
        timezone=scaling.timezone,
    )


def _check_target(scaling: ScalingShape, scope: Scope) -> None:
    metric, target = scaling.metric, scaling.target
    if target is None and metric in ("rps", "queue"):
        scope.refuse(
            ("scaling", "metric"),
            f"`{metric}` needs a target",
            "Say how much one replica shall have of it, for example `target: 20`.",
        )
    elif target is not None and metric not in ("concurrency", "rps", "queue", "utilisation"):
        scope.refuse(
            ("scaling", "target"),
            f"nothing is measured against it with the metric `{metric}`",
            "Name what it is a target of, for example `metric: rps`.",
        )
    elif target is not None and (target <= 0 or (metric == "utilisation" and target > 1)):
        share = metric == "utilisation"
        scope.refuse(
            ("scaling", "target"),
            f"expected {'a share of at most 100%' if share else 'a number above 0'}; got {target:g}",
            f"For example `target: {'70%' if share else '8'}`.",
        )


def _check_forecast(shape: Serve, scope: Scope) -> None:
    """From a rate to replicas there must be a way."""
    metric, slo = shape.scaling.metric, shape.slo
    promises = slo.p95 is not None or slo.ttft_p95 is not None or slo.tpot_p95 is not None
    if metric == "auto":
        metric = "slo" if promises else "concurrency"
    leads = metric in ("rps", "concurrency") or (metric == "slo" and shape.gateway.concurrency)
    if shape.scaling.forecast != "off" and not leads:
        scope.refuse(
            ("scaling", "forecast"),
            f"how many replicas a rate needs does not follow from the metric `{metric}`"
            + (" without `gateway.concurrency`" if metric == "slo" else ""),
            "Scale by `rps` or `concurrency`, or by `slo` with `gateway: {concurrency: N}`.",
        )


def _check_program(shape: Serve, scope: Scope) -> None:
    """A command, or a model and something to run it in."""
    runtime, model = shape.runtime, shape.model
    if shape.run and runtime is not None:
        scope.refuse(("runtime",), "`run` and `runtime` are two ways to serve", "Keep one of them.")
    elif not shape.run and model is None and not (runtime and runtime.name == "python"):
        scope.refuse(
            (), "a service needs `run` or `model`", "Say how it serves (`run`), or what (`model: NAME@prod`)."
        )
    elif not shape.run and model is not None and model.from_ is not None and runtime is None:
        scope.refuse(
            ("model",),
            "what a workload leaves behind may have any format",
            "Say what serves it: `run`, or a `runtime`.",
        )
    if runtime is not None and (runtime.name == "python") != (runtime.code is not None):
        scope.refuse(
            ("runtime",),
            "`code` and the runtime python go together",
            "For example `runtime: {name: python, code: my_model:Model}`.",
        )


def _health(shape: Serve) -> str:
    """Where it answers once it is ready: a runtime of ours, vLLM, or a program."""
    if shape.run:
        return "/healthz"
    return "/health" if shape.runtime is not None and shape.runtime.name == "vllm" else "/readyz"


def _runtime(shape: RuntimeShape | None) -> Runtime:
    if shape is None:
        return Runtime()
    return Runtime(
        name=shape.name,
        task=shape.task or "",
        code=shape.code or "",
        batch_max=shape.batch,
        batch_wait_s=shape.batch_wait,
        latency_max_s=shape.latency_max,
        context_max=shape.context,
        quantization=shape.quantization or "",
    )


def _gates(serve: Serve, scope: Scope) -> tuple[Gate, ...]:
    gates = serve.update.gate
    for at, gate in enumerate(gates):
        if (gate.at_least, gate.at_most, gate.not_worse_than_serving) == (None, None, None):
            scope.refuse(
                ("update", "gate", at),
                "nothing could fail such a gate",
                "Give `at_least`, `at_most` or `not_worse_than_serving`.",
            )
    if gates and (serve.model is None or serve.model.from_ is not None):
        scope.refuse(
            ("update", "gate"),
            "only models of the registry have evaluations",
            "Name one, as in `model: NAME@prod`.",
        )
    return tuple(
        Gate(
            suite=gate.suite,
            metric=gate.metric,
            at_least=gate.at_least,
            at_most=gate.at_most,
            worse_max=gate.not_worse_than_serving,
        )
        for gate in gates
    )


def _update(serve: Serve, scope: Scope) -> Update:
    shape = serve.update
    if (steps := shape.steps) != sorted(set(steps)) or steps[-1] != 1 or steps[0] == 0:
        scope.refuse(
            ("update", "steps"),
            "shares of traffic must grow, and end at 100%",
            "For example `steps: [5%, 25%, 100%]`.",
        )
    if shape.strategy == "rolling" and not shape.surge and not shape.unavailable:
        scope.refuse(
            ("update", "surge"),
            "with neither more nor fewer replicas than wanted, none can be replaced",
            "Set `surge: 1`, or where there is no room for one more `unavailable: 1`.",
        )
    return Update(
        strategy=shape.strategy,
        steps=tuple(steps),
        auto_rollback=shape.auto_rollback,
        surge=shape.surge,
        unavailable=shape.unavailable,
        window_s=shape.window,
        requests_min=shape.requests,
        error_rate_max=shape.error_rate,
        ready_s=shape.ready_within,
        gates=_gates(serve, scope),
    )


def _access(shape: GatewayShape, *, runs_model: bool, runtime: RuntimeShape | None) -> Access:
    repeatable = runs_model and (runtime is None or runtime.name in REPEATABLE)
    return Access(
        balance=shape.balance,
        concurrency=shape.concurrency,
        queue=shape.queue,
        queue_s=shape.queue_timeout,
        hold_s=shape.hold,
        deadline_s=shape.deadline,
        idempotent=repeatable if shape.idempotent is None else shape.idempotent,
        hedge_after_s=shape.hedge_after,
        body_bytes_max=shape.body,
        price=None
        if shape.price is None
        else TokenPrice(usd_per_million_in=shape.price.tokens_in, usd_per_million_out=shape.price.tokens_out),
    )
