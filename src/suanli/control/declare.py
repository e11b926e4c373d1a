"""From texts to what a request asks: the one place where declarations meet the catalogue."""

from collections.abc import Collection, Sequence

import msgspec

from suanli import spec
from suanli.catalog.accelerators import Accelerator, Catalog, load
from suanli.control.requests import Asked
from suanli.domain.errors import UsageError
from suanli.domain.mix import MixProblem
from suanli.domain.problem import PlacementProblem
from suanli.spec import OwnAccelerator, Problem, Source


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What was read. `warnings` are what is allowed but seldom meant."""

    asked: Asked
    warnings: tuple[Problem, ...] = ()


def declare(
    sources: Sequence[Source],
    *,
    now_s: float,
    overrides: Sequence[str] = (),
    known: Collection[str] = (),
    accelerators: Sequence[OwnAccelerator] = (),
) -> Declared:
    """Read declarations. Raises SpecErrors with every mistake of every source.

    `known` are the workloads accepted earlier, which new ones may wait for; `accelerators` those that the fleet of an
    earlier request defined, for requests that bring no fleet of their own.
    """

    def catalog_with(own: Sequence[OwnAccelerator]) -> Catalog:
        return load().with_user(_entry(accelerator) for accelerator in own or accelerators)

    read = spec.read(sources, catalog_with, now_s=now_s, overrides=overrides, known=known)
    if read.problems:
        raise UsageError(
            f"{read.problems[0].name} is a problem to solve; there is nothing in it to run.",
            remedy="Use `suanli solve -f FILE`.",
        )
    asked = Asked(
        workloads=read.workloads, fleet=read.fleet, accelerators=read.accelerators, alerts=read.alerts
    )
    return Declared(asked=asked, warnings=read.warnings)


def declare_problems(
    sources: Sequence[Source], overrides: Sequence[str] = ()
) -> tuple[tuple[PlacementProblem | MixProblem, ...], tuple[Problem, ...]]:
    """Read problems to solve, and warnings. Raises SpecErrors with every mistake of every source.

    A fleet beside them may define accelerators of its own.
    """

    def catalog_with(own: Sequence[OwnAccelerator]) -> Catalog:
        return load().with_user(map(_entry, own))

    read = spec.read(sources, catalog_with, now_s=0.0, overrides=overrides)
    return read.problems, read.warnings


def _entry(own: OwnAccelerator) -> Accelerator:
    return Accelerator(
        name=own.name,
        memory_bytes=own.memory_bytes,
        vendor=own.vendor,
        aliases=own.aliases,
        tdp_w=own.tdp_w,
        price_per_hour_usd=own.price_per_hour_usd,
    )
