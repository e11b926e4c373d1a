"""Models and workloads: the registry of a controller, which versions are meant, and what runs with them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from suanli.control.home import write_private
from suanli.domain.errors import NotFound, UsageError
from suanli.domain.model import Format, ModelVersion, Reference, parse_reference
from suanli.domain.record import Record
from suanli.domain.service import Phase
from suanli.domain.workload import ModelUse, Runtime, Workload
from suanli.domain.world import World
from suanli.models.fetch import Order, argv_of
from suanli.models.registry import Registry, staging_of
from suanli.models.storage import open_blobs
from suanli.ports.model_index import ModelIndex
from suanli.serving.command import runtime_argv

RUNTIMES = {Format.SAFETENSORS: "transformers", Format.ONNX: "onnx"}
"""By the format of a model, what serves it where nothing else is said."""


def registry_of(home: Path, storage: str, index: ModelIndex, now_s: Callable[[], float]) -> Registry:
    """`storage` is empty for `models` in the home. Raises UsageError, Unavailable."""
    blobs = open_blobs(storage or str(home / "models"))
    return Registry(index, blobs, staging_of(blobs, home), now_s)


def resolved(index: ModelIndex, workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """The workloads with the versions that their references name now, and with runtimes for these.

    Raises NotFound for what the registry does not have, UsageError where nothing here serves such a format.
    """
    return tuple(_resolved(index, workload) for workload in workloads)


def in_use(world: World) -> frozenset[tuple[str, int]]:
    """(name, number) of every version that runs, or that a service may be rolled back to. O(revisions)."""
    services = (
        revision.workload
        for service in world.services.values()
        if service.phase is not Phase.ENDED
        for revision in service.revisions
    )
    records = (record.workload for record in world.records.values() if not record.status.is_final)
    return frozenset(use.version for use in _uses((*services, *records)) if use.number)


class NodeCache(msgspec.Struct, frozen=True, kw_only=True):
    """Where each node keeps what it has fetched (None: in the home), and how much of it: hard links, where the storage
    is on its own disk."""

    folder: Path | None = None
    bytes_max: int = 2**40


class Programs:
    """What the workers of a record run, with the version they need at hand. `orders` is where notes for them lie."""

    def __init__(
        self,
        index: ModelIndex,
        storage_url: str,
        home: Path,
        cache: NodeCache = NodeCache(),  # noqa: B008 - frozen
    ) -> None:
        self._index = index
        self._storage_url = storage_url
        self._home = home
        self._cache = cache

    def __call__(self, record: Record) -> tuple[str, ...]:
        workload = record.workload
        argv = workload.run
        if (
            workload.service is not None
            and workload.service.runtime is not None
            and record.attempt is not None
        ):
            argv = runtime_argv(workload, record.attempt.placements[0].share)
        return argv if workload.model is None else argv_of(self._order(workload.model), argv)

    def _order(self, use: ModelUse) -> Path:
        """The note that names the version. Where it is gone there is none, and the worker says so.

        What is there already may be of a controller that kept its models elsewhere.
        """
        path = self._home / "orders" / f"{use.name}-{use.number}.json"
        try:
            version = self._index.version(Reference(name=use.name, number=use.number))
        except NotFound:
            return path
        body = msgspec.json.encode(self._order_of(version))
        if not path.exists() or path.read_bytes() != body:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path, body)
        return path

    def _order_of(self, version: ModelVersion) -> Order:
        return Order(
            version=version,
            storage_url=self._storage_url,
            cache_dir=str(self._cache.folder or self._home / "cache"),
            cache_bytes_max=self._cache.bytes_max,
        )


def _uses(workloads: Iterable[Workload]) -> Iterable[ModelUse]:
    return (workload.model for workload in workloads if workload.model is not None)


def _resolved(index: ModelIndex, workload: Workload) -> Workload:
    use = workload.model
    if use is None or use.number:
        return workload
    version = index.version(parse_reference(use.ref))
    found = ModelUse(ref=use.ref, name=version.name, number=version.number)
    workload = msgspec.structs.replace(workload, model=found)
    service = workload.service
    if service is None or service.runtime is None:
        return workload
    runtime = _runtime(service.runtime, version, workload.name)
    return msgspec.structs.replace(workload, service=msgspec.structs.replace(service, runtime=runtime))


def _runtime(runtime: Runtime, version: ModelVersion, service: str) -> Runtime:
    name = runtime.name or RUNTIMES.get(version.format, "")
    if not name:
        raise UsageError(
            f"{service}: {version.reference} is a {version.format.value} model, which no runtime of Suanli serves.",
            remedy="Say with `run` what serves it; it finds the files in $SUANLI_MODEL_DIR.",
            code="SL-MODEL-RUNTIME",
        )
    return msgspec.structs.replace(runtime, name=name, task=runtime.task or version.task)
