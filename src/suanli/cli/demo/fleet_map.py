"""The fleet as a picture: a cell for each device, a line for each kind."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

View = Mapping[str, Any]

WHOLE, SHARED, FREE, LOST = "■", "▪", "·", "×"
WORK, URGENT, SERVICE = "green", "yellow", "blue"
TOLERANCE = 1e-6


def fleet_map(nodes: Sequence[View], urgent: Collection[str]) -> "Text":
    """`urgent` are keys in another colour, as are replicas of services."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for model, of_kind in _by_model(nodes).items():
        text.append(f"{model:<10}")
        for node in of_kind:
            text.append(f" {node['name']} ", "" if node["state"] == "ready" else "red")
            for cell, style in _cells(node, model, urgent):
                text.append(cell, style)
        text.append("\n")
    for mark, style, meaning in (
        (WHOLE, WORK, "work"),
        (WHOLE, URGENT, "urgent"),
        (WHOLE, SERVICE, "service"),
    ):
        text.append(f"{mark} ", style)
        text.append(f"{meaning}  ", "dim")
    text.append(f"{SHARED} shared  {FREE} free  {LOST} lost", "dim")
    return text


def _by_model(nodes: Sequence[View]) -> dict[str, list[View]]:
    kinds: dict[str, list[View]] = {}
    for node in nodes:
        for model in (node["declared"] or node["effective"])["accelerators"]:
            kinds.setdefault(model, []).append(node)
    return kinds


def _cells(node: View, model: str, urgent: Collection[str]) -> Iterator[tuple[str, str]]:
    """A character and its style for each device."""
    devices = int((node["declared"] or node["effective"])["accelerators"][model])
    if node["state"] != "ready":
        yield LOST * devices, "red"
        return
    held: dict[int, tuple[str, str]] = {}
    for holder in node["holders"]:
        share, key = holder["share"], holder["key"]
        style = SERVICE if "/" in key else URGENT if key in urgent else WORK
        is_whole = share["device_share"] >= 1 - TOLERANCE
        held |= dict.fromkeys(share["devices"], (WHOLE if is_whole else SHARED, style))
    for device in range(devices):
        yield held.get(device, (FREE, "dim"))
