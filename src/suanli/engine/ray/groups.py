"""A gang's hold on the cluster: its placement group, pinned to the nodes of the plan, and one supervisor per worker.

The plan counts resources, Ray's group only keeps others from them: it reserves what was asked as far as Ray knows the
node to have it, and next to nothing where that can't be had soon, so that a gang never hangs on Ray's own account.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from suanli.domain.observation import Launch
from suanli.domain.resources import Share
from suanli.engine.messages import Post, Timing
from suanli.engine.ray.names import (
    NAMESPACE,
    NODE_ID_LABEL,
    SUPERVISOR_PREFIX,
    attempt_of,
    group_name,
    supervisor_name,
)
from suanli.engine.ray.supervisor import Supervisor

RESERVE_WAIT_S = 3.0
POLL_S = 0.02
TINY_CPUS = 0.001
_FORMS = ("full", "tiny")

NodeRow = Mapping[str, Any]
"""A row of `ray.nodes()`."""


async def create(
    launch: Launch, rows: Sequence[NodeRow], timing: Timing, given_up: Callable[[], bool]
) -> list[Any]:
    """The supervisors, by rank; `rows` are the nodes of the placements. Made before, they are found again.

    Raises TimeoutError where Ray doesn't place the group within the start's time, or before it does `given_up` holds.
    """
    group = await _place(launch, rows, timing.start_timeout_s, given_up)
    supervisors: list[Any] = []
    for rank in range(launch.workload.worker_count):
        supervisors.append(_supervisor(launch, rank, group, timing))
        await asyncio.sleep(0)  # some milliseconds each, between which heartbeats are answered
    return supervisors


def find(launch: Launch) -> list[Any]:
    """The supervisors of a gang that was made before, None for the dead."""
    return [_find(launch, rank) for rank in range(launch.workload.worker_count)]


def warm(rows: Sequence[NodeRow]) -> None:
    """Have Ray bring up a process for each next supervisor there: that takes it longer than all the rest of a start."""
    for row in rows:
        there = NodeAffinitySchedulingStrategy(row["NodeID"], soft=True)
        ray.remote(_nothing).options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote()


def remove(key: str, number: int) -> None:
    """Give back the group; its supervisors end with it."""
    for form in _FORMS:
        try:
            remove_placement_group(get_placement_group(group_name(key, number, form)))
        except ValueError:  # there is none of that name
            continue


def all_attempts() -> set[tuple[str, int]]:
    """Attempts that hold something in the cluster: a group, or a supervisor that outlived it."""
    groups = [row["name"] for row in placement_group_table().values() if row["state"] != "REMOVED"]
    return {attempt for name in (*groups, *_supervisors()) if (attempt := attempt_of(name)) is not None}


def kill_supervisors(key: str, number: int) -> None:
    """For leaked ones, whose group is gone already."""
    for name in _supervisors():
        if attempt_of(name) == (key, number):
            try:
                ray.kill(ray.get_actor(name, namespace=NAMESPACE))
            except ValueError:  # it died meanwhile
                continue


async def _place(
    launch: Launch, rows: Sequence[NodeRow], timeout_s: float, given_up: Callable[[], bool]
) -> PlacementGroup:
    wanted = {
        "full": [
            _bundle(place.share, row["Resources"]) for place, row in zip(launch.placements, rows, strict=True)
        ],
        "tiny": [{"CPU": TINY_CPUS} for _ in rows],
    }
    for form, wait_s in zip(_FORMS, (RESERVE_WAIT_S, timeout_s - RESERVE_WAIT_S), strict=True):
        group = _group(group_name(launch.key, launch.number, form), wanted[form], rows)
        if await _is_placed(group, wait_s, given_up):
            return group
        remove_placement_group(group)
        if given_up():
            break
    raise TimeoutError(f"Ray did not place it within {timeout_s:g} s")


def _group(name: str, bundles: list[dict[str, float]], rows: Sequence[NodeRow]) -> PlacementGroup:
    try:
        return get_placement_group(name)
    except ValueError:
        return placement_group(
            bundles,
            strategy="PACK",
            name=name,
            lifetime="detached",
            bundle_label_selector=[{NODE_ID_LABEL: row["NodeID"]} for row in rows],
        )


async def _is_placed(group: PlacementGroup, timeout_s: float, given_up: Callable[[], bool]) -> bool:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while placement_group_table(group).get("state") != "CREATED":
        if loop.time() >= deadline_s or given_up():
            return False
        await asyncio.sleep(POLL_S)
    return True


def _bundle(share: Share, resources: Mapping[str, float]) -> dict[str, float]:
    wanted = {"CPU": share.cpus, "GPU": share.accelerator_count}
    bundle = {name: min(amount, resources.get(name, 0.0)) for name, amount in wanted.items()}
    return {name: amount for name, amount in bundle.items() if amount > 0} or {"CPU": TINY_CPUS}


def _supervisor(launch: Launch, rank: int, group: PlacementGroup, timing: Timing) -> Any:
    index = rank // launch.workload.workers_per_node
    post = Post(launch=launch, rank=rank, node=launch.placements[index].node, timing=timing)
    return (
        ray.remote(Supervisor)
        .options(
            name=supervisor_name(launch.key, launch.number, rank),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_concurrency=2,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, index),
        )
        .remote(msgspec.json.encode(post))
    )


def _find(launch: Launch, rank: int) -> Any:
    try:
        return ray.get_actor(supervisor_name(launch.key, launch.number, rank), namespace=NAMESPACE)
    except ValueError:
        return None


def _supervisors() -> list[str]:
    actors: list[Any] = ray.util.list_named_actors(all_namespaces=True)
    return [
        actor["name"]
        for actor in actors
        if actor["namespace"] == NAMESPACE and actor["name"].startswith(SUPERVISOR_PREFIX)
    ]


def _nothing() -> None:
    return None
