"""`Nodes` of an embedded cluster: further Ray nodes, on this machine or wherever a launcher command starts them."""

from collections.abc import Sequence
from pathlib import Path

from suanli.domain.fleet import Node
from suanli.engine.ray import kept
from suanli.engine.ray.cluster import LOOPBACK, ClusterHandle, environment, label_value, resources_of
from suanli.engine.ray.keeper import Host
from suanli.engine.ray.names import ACCELERATOR_LABEL, NODE_LABEL


class RayNodes:
    """What a node declares becomes Ray's resources and labels, so that emulated ones can pretend to anything.

    `launcher` is an argv put before that of the node's keeper, `{name}` in it stands for the node's name; the command
    must keep the foreground for as long as the node shall live.
    """

    def __init__(self, handle: ClusterHandle, launcher: Sequence[str] = ()) -> None:
        self._handle = handle
        self._launcher = launcher
        self._folder = Path(handle.state_dir) / "nodes"
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def add(self, nodes: Sequence[Node]) -> None:
        """Returns before they are up; `observe` shows when they are."""
        env = environment(token_path=self._handle.token_path, loopback=self._handle.is_loopback)
        for node in nodes:
            record = self._record(node.name)
            if kept.recorded(record) is None:
                launcher = [part.replace("{name}", node.name) for part in self._launcher]
                kept.spawn(self._host(node), record, env, launcher)

    def remove(self, name: str) -> None:
        record = self._record(name)
        keeper = kept.recorded(record)
        if keeper is not None:
            kept.end(keeper, record)

    def names(self) -> Sequence[str]:
        keepers = [kept.recorded(record) for record in sorted(self._folder.glob("*.json"))]
        return tuple(keeper.host.name for keeper in keepers if keeper is not None)

    def _record(self, name: str) -> Path:
        return self._folder / f"{label_value(name)}.json"

    def _host(self, node: Node) -> Host:
        labels = {NODE_LABEL: label_value(node.name)}
        if node.accelerators:
            labels[ACCELERATOR_LABEL] = label_value(node.accelerators[0])
        head = kept.recorded(Path(self._handle.state_dir) / "cluster.json")
        return Host(
            name=node.name,
            host=LOOPBACK if self._handle.is_loopback else "",
            join=self._handle.address,
            temp_dir=head.host.temp_dir if head else "",
            ready_file=str(self._record(node.name).with_suffix(".ready")),
            labels=labels,
            **resources_of(node),
        )
