"""The accelerators Suanli knows, by whatever name people type.

    catalog = load()
    catalog.lookup("nvidia-tesla-t4")      # -> T4
    catalog.lookup("A100")                 # -> A100-40GB, SkyPilot's meaning; A100-80GB is asked for by its full name
    catalog.suggest("H1000")               # -> ("H100", ...)

The facts lie in `accelerators.json` beside this file, in the units of the datasheets; here they are SI.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Iterable
from importlib import resources
from typing import Literal

import msgspec

from suanli.domain.errors import SpecError

Kind = Literal["gpu", "tpu", "npu"]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "int8"]


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """One accelerator model. Users' own need a name and a memory; every other fact may be unknown (None, "").

    `flops` is the peak of dense arithmetic in operations per second, by precision; a precision that the hardware lacks
    is absent. `price_per_hour_usd` is for one accelerator, on demand; where it is None, `price_source` says why.
    """

    name: str
    memory_bytes: int
    vendor: str = ""
    kind: Kind = "gpu"
    aliases: tuple[str, ...] = ()
    memory_bandwidth_bytes_per_s: float | None = None
    flops: dict[Precision, float] = msgspec.field(default_factory=dict[Precision, float])
    tdp_w: float | None = None
    price_per_hour_usd: float | None = None
    price_source: str = ""
    price_date: str = ""
    source: str = ""
    year: int | None = None
    note: str = ""


class Catalog(msgspec.Struct, frozen=True):
    """Accelerators with an index of all their names. Build one with `catalog_of`, which lets no name mean two."""

    entries: tuple[Accelerator, ...]
    by_key: dict[str, Accelerator]

    def lookup(self, name: str) -> Accelerator | None:
        """The accelerator of that name or alias; case, spaces, underscores and hyphens don't matter."""
        return self.by_key.get(_key(name))

    def suggest(self, name: str) -> tuple[str, ...]:
        """Up to three catalogue names that `name` may have meant, likeliest first."""
        asked = _key(name[:64])
        close = difflib.get_close_matches(asked, self.by_key, n=9)
        # A typist gets the family right more often than the rest: "A100-96GB" means an A100, not a V100-16GB.
        close.sort(key=lambda key: _shared_start(asked, key), reverse=True)
        return tuple(dict.fromkeys(self.by_key[key].name for key in close))[:3]

    def with_user(self, entries: Iterable[Accelerator]) -> "Catalog":
        """This catalogue with users' own entries; one of a shipped entry's name replaces it and keeps its aliases.

        Raises SpecError where a name or alias would mean two accelerators.
        """
        shipped = {_key(entry.name): entry for entry in self.entries}
        own = tuple(_keeping_aliases(entry, shipped.get(_key(entry.name))) for entry in entries)
        replaced = {_key(entry.name) for entry in own}
        return catalog_of(tuple(entry for key, entry in shipped.items() if key not in replaced) + own)


def catalog_of(entries: tuple[Accelerator, ...]) -> Catalog:
    """A catalogue of these entries. Raises SpecError where a name or alias would mean two of them."""
    by_key: dict[str, Accelerator] = {}
    for entry in entries:
        for name in (entry.name, *entry.aliases):
            other = by_key.setdefault(_key(name), entry)
            if other is not entry:
                raise _taken(name, entry, other)
    return Catalog(entries, by_key)


@functools.lru_cache(maxsize=1)
def load() -> Catalog:
    """The shipped catalogue, read once."""
    rows = (resources.files("suanli.catalog") / "accelerators.json").read_bytes()
    return catalog_of(tuple(row.accelerator() for row in msgspec.json.decode(rows, type=tuple[_Row, ...])))


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry as the data file has it. Vendors' GB of memory are 2**30 bytes; those of bandwidth are 10**9."""

    name: str
    vendor: str
    kind: Kind
    year: int
    aliases: tuple[str, ...]
    memory_gib: int
    bandwidth_gb_per_s: float
    tdp_w: float | None
    tflops: dict[Precision, float]
    price_per_hour_usd: float | None
    price_date: str
    price_source: str
    source: str
    note: str

    def accelerator(self) -> Accelerator:
        return Accelerator(
            name=self.name,
            memory_bytes=self.memory_gib * 2**30,
            vendor=self.vendor,
            kind=self.kind,
            aliases=self.aliases,
            memory_bandwidth_bytes_per_s=self.bandwidth_gb_per_s * 1e9,
            flops={precision: tflops * 1e12 for precision, tflops in self.tflops.items()},
            tdp_w=self.tdp_w,
            price_per_hour_usd=self.price_per_hour_usd,
            price_source=self.price_source,
            price_date=self.price_date,
            source=self.source,
            year=self.year,
            note=self.note,
        )


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _shared_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _keeping_aliases(own: Accelerator, shipped: Accelerator | None) -> Accelerator:
    if shipped is None:
        return own
    return msgspec.structs.replace(own, aliases=(*shipped.aliases, *own.aliases))


def _taken(name: str, entry: Accelerator, other: Accelerator) -> SpecError:
    return SpecError(
        f"The accelerator name {name!r} already means {other.name}.",
        remedy=f"Give it another name, or replace {other.name} by declaring one of exactly that name.",
        evidence={"name": name, "declared_by": entry.name, "taken_by": other.name},
    )
