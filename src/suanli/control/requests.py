"""What users may ask of a running controller. Each verb checks, then appends events; the next cycle acts on them."""

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from suanli.control import changes, gates, models, services
from suanli.control.controller import Controller
from suanli.control.fleet import capacity
from suanli.control.planning import Plan, plan
from suanli.control.what_if import Changes, WhatIf, compare
from suanli.domain import events as ev
from suanli.domain.alerts import AlertRule
from suanli.domain.decision import Memory
from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record, Status
from suanli.domain.workload import Workload
from suanli.kernel.state import State
from suanli.policies.registry import parse
from suanli.ports.store import Idempotency, Store
from suanli.spec import OwnAccelerator

PLAN_KEPT_S = 3600.0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request declares, already read and checked: workloads, alert rules, and a fleet where it has one.

    `accelerators` are those that the fleet adds to the catalogue.
    """

    workloads: tuple[Workload, ...] = ()
    fleet: Fleet | None = None
    accelerators: tuple[OwnAccelerator, ...] = ()
    alerts: tuple[AlertRule, ...] = ()


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an apply: names that were accepted, and those that are there already as declared."""

    submitted: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    fleet: str = ""
    alerts: tuple[str, ...] = ()
    plan_id: str = ""


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as it was shown, with what it was asked: kept so that `apply --plan-id` can hold it to its word."""

    asked: Asked
    policy: str
    plan: Plan


def make_plan(controller: Controller, asked: Asked, *, policy: str = "") -> Plan:
    """What would happen if this were applied now. Changes nothing but the list of plans shown.

    Raises NotFound for a model that the registry does not have, Conflict as `apply`.
    """
    with controller.mutex:
        controller.refresh()
        asked = _with_models(controller, asked)
        fresh, _ = changes.split(controller.world, asked.workloads)
        answer = _plan_of(controller, msgspec.structs.replace(asked, workloads=fresh), policy)
        passed = gates.checked(controller.ports.store.models, controller.world, fresh)
        answer = msgspec.structs.replace(answer, gates=passed)
        shown = _Shown(asked=asked, policy=policy, plan=answer)
        now_s = controller.ports.clock.now_s()
        store = controller.ports.store
        store.drop_documents("plan", now_s - PLAN_KEPT_S)
        store.save_document("plan", answer.plan_id, msgspec.json.encode(shown), now_s)
        return answer


def apply(controller: Controller, asked: Asked, *, actor: str, idempotency_key: str = "") -> Applied:
    """Accept what is new or changed. All of it or nothing; the same key and body again change nothing.

    Raises Conflict where a workload of that name is still there with another declaration or a model does not pass a
    gate of its service, NotFound for a model that the registry does not have.
    """
    with controller.mutex:
        controller.refresh()
        key = _idempotency(idempotency_key, asked)
        asked = _with_models(controller, asked)
        fresh, unchanged = changes.split(controller.world, asked.workloads)
        changes.refuse_cycles(controller.world, fresh)
        gates.require(gates.checked(controller.ports.store.models, controller.world, fresh))
        events = changes.submissions(controller.world, fresh)
        if asked.fleet is not None and asked.fleet != controller.world.fleet:
            events.insert(0, ev.FleetDeclared(fleet=asked.fleet))
        if events or key:
            controller.tell(events, actor, key)
        _keep(controller, asked)
        return Applied(
            submitted=tuple(w.name for w in fresh),
            unchanged=unchanged,
            fleet=asked.fleet.name if asked.fleet else "",
            alerts=tuple(rule.name for rule in asked.alerts),
        )


def apply_plan(controller: Controller, plan_id: str, *, actor: str, idempotency_key: str = "") -> Applied:
    """Apply exactly what was shown, at once. Raises Conflict where the same question has another answer by now."""
    with controller.mutex:
        body = controller.ports.store.document("plan", plan_id)
        if body is None:
            raise NotFound(
                f"There is no plan {plan_id}.",
                remedy="Plans are kept for an hour; run `suanli plan` again.",
                code="SL-PLAN-UNKNOWN",
            )
        shown = msgspec.json.decode(body, type=_Shown)
        controller.refresh()
        fresh, _ = changes.split(controller.world, shown.asked.workloads)
        now = _plan_of(controller, msgspec.structs.replace(shown.asked, workloads=fresh), shown.policy)
        if now.plan_id != plan_id:
            raise Conflict(
                f"The plan {plan_id} is stale: the same request would now be answered differently.",
                remedy="Run `suanli plan` again and look at what changed.",
                evidence={"plan_now": now.plan_id},
                code="SL-PLAN-STALE",
            )
        applied = apply(controller, shown.asked, actor=actor, idempotency_key=idempotency_key)
        if shown.policy and parse(shown.policy).name != controller.world.policy:
            choose_policy(controller, shown.policy, actor=actor)
        controller.cycle()
        return msgspec.structs.replace(applied, plan_id=plan_id)


def stop(controller: Controller, name: str, *, actor: str) -> tuple[str, ...]:
    """End it for good, with its grace. Raises NotFound, Conflict where it has ended already."""
    with controller.mutex:
        controller.refresh()
        records = records_of(controller, name)
        ends = services.end(controller.world, name, records)
        keys = tuple(record.key for record in records if not record.status.is_final)
        if not keys and not ends:
            raise _not_now(name, records)
        controller.tell([*ends, *(ev.StopRequested(key=key) for key in keys)], actor)
        return keys or (name,)


def retry(controller: Controller, name: str, *, actor: str) -> tuple[str, ...]:
    """Let a finished workload run again. Raises NotFound, Conflict where it has not finished."""
    with controller.mutex:
        controller.refresh()
        again = services.begin_again(controller.world, name)
        if again:
            controller.tell(again, actor)
            return (name,)
    return _each(controller, name, actor, lambda r: r.status.is_final, lambda key: ev.Retried(key=key))


def hold(controller: Controller, name: str, *, actor: str) -> tuple[str, ...]:
    """Keep what waits from starting. Raises NotFound, Conflict where nothing of it waits."""
    return _each(controller, name, actor, lambda r: r.status is Status.WAITING, lambda key: ev.Held(key=key))


def release(controller: Controller, name: str, *, actor: str) -> tuple[str, ...]:
    """Lift a hold. Raises NotFound, Conflict where nothing of it is held."""
    return _each(controller, name, actor, lambda r: r.status is Status.HELD, lambda key: ev.Released(key=key))


def cordon(controller: Controller, node: str, *, actor: str, drain: bool = False) -> None:
    """Place nothing new there; with `drain` move away what runs there. Raises NotFound."""
    with controller.mutex:
        controller.refresh()
        _known_node(controller, node)
        controller.tell([ev.NodeCordoned(node=node, drain=drain)], actor)


def uncordon(controller: Controller, node: str, *, actor: str) -> None:
    """Use the node again. Raises NotFound."""
    with controller.mutex:
        controller.refresh()
        _known_node(controller, node)
        controller.tell([ev.NodeUncordoned(node=node)], actor)


def choose_policy(controller: Controller, name: str, *, actor: str) -> str:
    """Decide by this policy from the next cycle on; its full name. Raises UsageError."""
    chosen = parse(name).name
    with controller.mutex:
        controller.refresh()
        if chosen != controller.world.policy:
            controller.tell([ev.PolicyChosen(policy=chosen)], actor)
    return chosen


def records_of(controller: Controller, name: str) -> tuple[Record, ...]:
    """The record of a key, or all records of a workload's name: none of a service that never had a replica.

    Raises NotFound with the nearest names.
    """
    record = controller.world.records.get(name)
    if record is not None:
        return (record,)
    found = tuple(r for r in controller.world.records.values() if r.name == name)
    if not found and name not in controller.world.services:
        known = sorted({r.name for r in controller.world.records.values()})
        raise NotFound(
            f"There is no workload {name!r}.",
            remedy="See `suanli ps --all`."
            if known
            else "Nothing has been submitted yet; see `suanli apply`.",
            evidence={"known": known[:20]},
        )
    return found


def _each(
    controller: Controller,
    name: str,
    actor: str,
    applies: Callable[[Record], bool],
    event: Callable[[str], ev.Event],
) -> tuple[str, ...]:
    with controller.mutex:
        controller.refresh()
        records = records_of(controller, name)
        keys = tuple(record.key for record in records if applies(record))
        if not keys:
            raise _not_now(name, records)
        controller.tell([event(key) for key in keys], actor)
        return keys


def _not_now(name: str, records: Sequence[Record]) -> Conflict:
    standing = records[0].status.value if records else "without replicas"
    return Conflict(f"{name} is {standing}.", remedy=f"See `suanli explain {name}`.", code="SL-STATE")


def _with_models(controller: Controller, asked: Asked) -> Asked:
    index = controller.ports.store.models
    return msgspec.structs.replace(asked, workloads=models.resolved(index, asked.workloads))


def _plan_of(controller: Controller, asked: Asked, policy: str) -> Plan:
    state = controller.state if asked.fleet is None else _on_fleet(controller, asked.fleet)
    now_s = controller.ports.clock.now_s()
    answer, _ = plan(
        state, controller.memory, parse(policy or controller.world.policy), asked.workloads, now_s
    )
    return answer


def _on_fleet(controller: Controller, fleet: Fleet | None) -> State:
    """A copy of the state, on that fleet as far as it is there; None: on the fleet in force."""
    state = controller.state.copy()
    if fleet is not None:
        here = capacity(fleet, controller.seen.nodes, controller.world.cordoned)
        state.set_nodes(here.fleet, here.unusable)
    return state


def what_if(controller: Controller, asked: Asked, then: Asked, policy: str, changes: Changes) -> WhatIf:
    """How things would go on with what is asked, and with `then` and the changes instead. Changes nothing.

    Both are played outside of the mutex, on copies. Raises UsageError where a change cannot be made.
    """
    with controller.mutex:
        controller.refresh()
        asked, then = _with_models(controller, asked), _with_models(controller, then)
        state, memory = _on_fleet(controller, asked.fleet), controller.memory
        name, now_s = policy or controller.world.policy, controller.ports.clock.now_s()
    policies = parse(name), parse(changes.policy or name)
    return compare(state, memory, policies, (asked.workloads, then.workloads), changes, now_s)


def offline_plan(asked: Asked, policy: str, now_s: float) -> Plan:
    """The plan for an empty fleet, with no controller. Raises UsageError where no fleet is declared."""
    answer, _ = plan(_empty(asked), Memory(), parse(policy), asked.workloads, now_s)
    return answer


def offline_what_if(asked: Asked, then: Asked, policy: str, changes: Changes, now_s: float) -> WhatIf:
    """The same for an empty fleet, with no controller."""
    policies = parse(policy), parse(changes.policy or policy)
    return compare(_empty(asked), Memory(), policies, (asked.workloads, then.workloads), changes, now_s)


def _empty(asked: Asked) -> State:
    if asked.fleet is None:
        raise UsageError(
            "A plan without a running controller needs a fleet.",
            remedy="Give one with `--fleet FILE`, or start a controller with `suanli up`.",
        )
    return State(asked.fleet)


def kept_accelerators(store: Store) -> tuple[OwnAccelerator, ...]:
    """What the fleets applied so far added to the catalogue."""
    body = store.document("catalog", "accelerators")
    return msgspec.json.decode(body, type=tuple[OwnAccelerator, ...]) if body else ()


def kept_rules(store: Store) -> tuple[AlertRule, ...]:
    """The alert rules applied so far."""
    body = store.document("alerts", "rules")
    return msgspec.json.decode(body, type=tuple[AlertRule, ...]) if body else ()


def _keep(controller: Controller, asked: Asked) -> None:
    """What is no part of the state that decisions see. Idempotent: applying again after a crash completes it."""
    store, now_s = controller.ports.store, controller.ports.clock.now_s()
    if asked.accelerators:
        store.save_document("catalog", "accelerators", msgspec.json.encode(asked.accelerators), now_s)
    if asked.alerts:
        rules = {rule.name: rule for rule in (*kept_rules(store), *asked.alerts)}
        store.save_document("alerts", "rules", msgspec.json.encode(list(rules.values())), now_s)
        if controller.watch is not None:
            controller.watch.add(asked.alerts)


def _idempotency(key: str, asked: Asked) -> Idempotency | None:
    if not key:
        return None
    digest = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()
    return Idempotency(key=key, digest=digest)


def _known_node(controller: Controller, node: str) -> None:
    names = {*controller.state.table.names, *(view.name for view in controller.seen.nodes)}
    if node not in names:
        raise NotFound(
            f"There is no node {node!r}.",
            remedy="See `suanli nodes`.",
            evidence={"known": sorted(names)[:20]},
        )
