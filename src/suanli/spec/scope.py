"""What reading one document needs besides the document: the catalogue, the instant, and where to put what is wrong."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

import msgspec

from suanli.spec.problems import Findings, Mark, Problem
from suanli.spec.tree import Node, Source

Path = tuple[str | int, ...]


class KnownAccelerator(Protocol):
    """What reading needs of a catalogue entry: its one true name, and its price where known."""

    @property
    def name(self) -> str: ...

    @property
    def price_per_hour_usd(self) -> float | None: ...


class AcceleratorCatalog(Protocol):
    """Accelerators by any of their names."""

    def lookup(self, name: str, /) -> KnownAccelerator | None: ...

    def suggest(self, name: str, /) -> Sequence[str]: ...


class OwnAccelerator(msgspec.Struct, frozen=True, kw_only=True):
    """An accelerator that a fleet defines, in the catalogue's terms."""

    name: str
    memory_bytes: int
    vendor: str = ""
    aliases: tuple[str, ...] = ()
    tdp_w: float | None = None
    price_per_hour_usd: float | None = None


CatalogWith = Callable[[Sequence[OwnAccelerator]], AcceleratorCatalog]
"""The catalogue with a fleet's own accelerators in it. Raises SpecError where a name would mean two of them."""


class Document(msgspec.Struct, frozen=True):
    """One document and where it stands."""

    source: Source
    root: Node

    @property
    def kind(self) -> str:
        return self._word("kind")

    @property
    def name(self) -> str:
        return self._word("name")

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}".strip()

    def mark_of(self, path: Path) -> Mark:
        """The place of the field at `path`, or of the innermost part of it that is there."""
        return self._follow(path)[0]

    def has(self, path: Path) -> bool:
        return self._follow(path)[2] == len(path)

    def problem(self, path: Path, message: str, remedy: str = "") -> Problem:
        mark, inner, depth = self._follow(path)
        # A shorthand is no list yet (`after: x`), so its parts have no names of their own.
        there = path if isinstance(inner.value, dict) else path[:depth]
        return Problem(
            file=mark.file,
            line=mark.line,
            column=mark.column,
            document=self.label[:80],
            field=dotted(there),
            message=message,
            remedy=remedy,
        )

    def _follow(self, path: Path) -> tuple[Mark, Node, int]:
        """The innermost part of `path` that is there: its place, its value, and how deep it is."""
        mark, node = self.root.mark, self.root
        for depth, part in enumerate(path):
            if isinstance(node.value, dict) and part in node.value:
                mark, node = node.keys[str(part)], node.value[str(part)]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.mark
            else:
                return mark, node, depth
        return mark, node, len(path)

    def _word(self, field: str) -> str:
        node = self.root.value.get(field) if isinstance(self.root.value, dict) else None
        return node.value if node is not None and isinstance(node.value, str) else ""


class Scope(msgspec.Struct, frozen=True):
    """One document while it is read."""

    document: Document
    catalog: AcceleratorCatalog
    now_s: float
    findings: Findings

    def refuse(self, path: Path, message: str, remedy: str = "") -> None:
        self.findings.refuse(self.document.problem(path, message, remedy))

    def warn(self, path: Path, message: str, remedy: str = "") -> None:
        self.findings.warn(self.document.problem(path, message, remedy))

    def accelerator(self, name: str, path: Path) -> KnownAccelerator | None:
        """The catalogue's accelerator of that name; None, and a problem at `path`, where there is none."""
        known = self.catalog.lookup(name)
        if known is None:
            near = " or ".join(self.catalog.suggest(name))
            meant = f"Did you mean {near}? If not, define" if near else "Define"
            self.refuse(
                path, f"no accelerator is called {name!r}", f"{meant} it under `accelerators` of the fleet."
            )
        return known

    def absolute(self, folder: str, path: Path) -> str:
        """`folder` as seen from the source's own folder."""
        if folder.startswith("~"):
            self.refuse(path, "`~` is not expanded", "Write the whole path.")
        if not self.document.source.folder and not folder.startswith("/"):
            self.refuse(
                path, f"{folder!r} is relative, and this text has no folder", "Write an absolute path."
            )
        return str(PurePosixPath(self.document.source.folder, folder))


def dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")[:200]
