"""A light actor on each node that measures it and tells the hub."""

import importlib
import os
import threading
from typing import Any

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from suanli.engine.ray.names import AGENT_PREFIX, HUB, NAMESPACE
from suanli.engine.ray.requests import Measured

EVERY_S = 1.0


def place(node_id: str, node: str, probe: str) -> None:
    """Have an agent there; nothing happens where one lives."""
    (
        ray.remote(Agent)
        .options(
            name=AGENT_PREFIX + node_id,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        .remote(node_id, node, probe)
    )


class Agent:
    """`probe` is `module:function` of (node name) -> (Node, NodeSample), known on the node itself."""

    def __init__(self, node_id: str, node: str, probe: str) -> None:
        module, _, name = probe.partition(":")
        self._measure: Any = getattr(importlib.import_module(module), name)
        self._node_id, self._node = node_id, node
        threading.Thread(target=self._run, name="measure", daemon=True).start()

    def _run(self) -> None:
        """An agent that can't measure ends its process, and the hub will try another one."""
        try:
            self._measure_forever()
        finally:
            os._exit(1)

    def _measure_forever(self) -> None:
        pause = threading.Event()
        while True:
            seen, sample = self._measure(self._node)
            body = msgspec.json.encode(Measured(node_id=self._node_id, seen=seen, sample=sample))
            try:
                hub = ray.get_actor(HUB, namespace=NAMESPACE)
                ray.get(hub.sample.remote(body), timeout=EVERY_S)
            except (ValueError, GetTimeoutError, RayError):  # the hub is away; the next sample finds it
                pass
            pause.wait(EVERY_S)
