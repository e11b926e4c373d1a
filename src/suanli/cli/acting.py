"""What changes running work and nodes: `stop`, `retry`, `hold`, `release`, `drain`, `cordon`, `uncordon`, `policy`."""

from typing import Annotated, Any

import typer

from suanli.cli.client import path_of
from suanli.cli.session import Session, command

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Workloads, or replicas such as chat/0.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="A node of `suanli nodes`.")]


@command
def stop(session: Session, names: Names) -> None:
    """End workloads for good: SIGTERM, their grace, SIGKILL."""
    _act(session, names, "stop", "is stopping")


@command
def retry(session: Session, names: Names) -> None:
    """Let finished workloads run again."""
    _act(session, names, "retry", "waits to run again")


@command
def hold(session: Session, names: Names) -> None:
    """Keep waiting workloads from starting."""
    _act(session, names, "hold", "is held")


@command
def release(session: Session, names: Names) -> None:
    """Lift a hold."""
    _act(session, names, "release", "is released")


@command
def cordon(session: Session, node: Node) -> None:
    """Place nothing new on a node."""
    _act_on_node(session, node, "cordon", "takes nothing new")


@command
def drain(session: Session, node: Node) -> None:
    """Empty a node: nothing new, and what runs moves away."""
    _act_on_node(session, node, "drain", "takes nothing new, and what runs there moves away")


@command
def uncordon(session: Session, node: Node) -> None:
    """Use a node again."""
    _act_on_node(session, node, "uncordon", "is used again")


@command
def policy(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The policy to decide by from now on.")] = "",
) -> None:
    """Show the policy that decides, or choose another."""
    client = session.connect()
    body = client.put("/v1/policy", {"policy": name}) if name else client.get("/v1/policy")
    session.show(body, lambda: str(body["policy"]))


def _act(session: Session, names: list[str], verb: str, done: str) -> None:
    client = session.connect()
    keys: list[str] = []
    for name in names:
        keys += client.post(f"{path_of('workloads', name)}/{verb}")["keys"]
    session.show({"keys": keys}, lambda: "\n".join(f"{key} {done}" for key in keys))


def _act_on_node(session: Session, node: str, verb: str, done: str) -> None:
    body: dict[str, Any] = session.connect().post(f"{path_of('nodes', node)}/{verb}")
    session.show(body, lambda: f"{node} {done}")
