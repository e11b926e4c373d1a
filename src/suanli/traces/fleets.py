"""A fleet from a short text: `openb:PATH`, `gavel:8xV100,16xP100,24xK80`, or the path of a YAML file."""

import re
from collections.abc import Sequence
from pathlib import Path

from suanli import spec
from suanli.catalog.accelerators import Accelerator, Catalog, load
from suanli.domain.errors import UsageError
from suanli.domain.fleet import Fleet, Node
from suanli.spec import OwnAccelerator, Source
from suanli.spec.problems import Findings
from suanli.traces.accelerators import model_of, price_per_hour
from suanli.traces.openb import read_openb_fleet

NODES_MAX = 100_000
FILE_BYTES_MAX = 16 * 2**20

_PART = re.compile(r"\s*([1-9][0-9]*)\s*x\s*(\S+)\s*")
_CPUS = 8.0
_MEMORY_BYTES = 64 * 2**30


def fleet_of(text: str) -> Fleet:
    """The fleet that the text spells. Raises SpecErrors or UsageError where it spells none. O(nodes)."""
    kind, colon, rest = text.partition(":")
    if colon and kind == "gavel":
        return single_device_fleet(rest)
    if colon and kind == "openb":
        path = Path(rest)
        findings = Findings((str(path),))
        fleet = read_openb_fleet(path, findings)
        if findings.problems:
            raise findings.errors()
        return fleet
    return _declared(Path(text))


def single_device_fleet(text: str) -> Fleet:
    """`8xV100,16xP100`: so many nodes of one accelerator each, with CPU and memory enough for all it may run."""
    nodes: list[Node] = []
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise UsageError(f"Expected COUNTxACCELERATOR, such as 8xV100; got {part!r}.")
        model = model_of(found[2])
        if not model:
            near = " or ".join(load().suggest(found[2]))
            raise UsageError(
                f"No accelerator is called {found[2]!r}.", remedy=f"Did you mean {near}?" if near else ""
            )
        if len(nodes) + int(found[1]) > NODES_MAX:
            raise UsageError(f"A fleet has at most {NODES_MAX:,} nodes.")
        nodes += [_node(model, number) for number in range(int(found[1]))]
    if len({node.name for node in nodes}) < len(nodes):
        raise UsageError("An accelerator is named twice.", remedy="Add the counts up.")
    return Fleet(name="gavel", nodes=tuple(nodes))


def _node(model: str, number: int) -> Node:
    return Node(
        name=f"{model.lower()}-{number}",
        cpus=_CPUS,
        memory_bytes=_MEMORY_BYTES,
        accelerators=(model,),
        price_per_hour=price_per_hour((model,)),
    )


def _declared(path: Path) -> Fleet:
    """The fleet of a YAML file; workloads declared beside it don't matter here."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}.",
            remedy="A fleet is a YAML file, `openb:PATH`, or `gavel:8xV100,16xP100`.",
        ) from error
    read = spec.read([Source(str(path), text, str(path.parent.absolute()))], _catalog_with, now_s=0.0)
    if read.fleet is None:
        raise UsageError(f"{path} declares no fleet.", remedy="It needs a document with `kind: fleet`.")
    return read.fleet


def _catalog_with(own: Sequence[OwnAccelerator]) -> Catalog:
    return load().with_user(
        Accelerator(
            name=entry.name,
            memory_bytes=entry.memory_bytes,
            vendor=entry.vendor,
            aliases=entry.aliases,
            tdp_w=entry.tdp_w,
            price_per_hour_usd=entry.price_per_hour_usd,
        )
        for entry in own
    )
