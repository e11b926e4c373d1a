"""`read`: texts in, domain values out, or every mistake at once."""

from collections.abc import Collection, Sequence

import msgspec
from pydantic import ValidationError

from suanli.domain.alerts import AlertRule
from suanli.domain.errors import SpecError
from suanli.domain.fleet import Fleet
from suanli.domain.mix import MixProblem
from suanli.domain.problem import PlacementProblem
from suanli.domain.workload import Workload
from suanli.spec.alert import AlertShape, alert_of
from suanli.spec.checks import NO_WORKLOADS, Read, check_against, check_dependencies, check_names
from suanli.spec.fleet import fleet_of, own_accelerators
from suanli.spec.fleet_shape import FleetShape
from suanli.spec.messages import shape_problems
from suanli.spec.mix import MixShape, mix_of
from suanli.spec.overrides import override
from suanli.spec.placement import problem_of
from suanli.spec.placement_shape import ProblemShape
from suanli.spec.problems import Findings, Problem, nearest, shown
from suanli.spec.schema import SHAPES, Declared
from suanli.spec.scope import AcceleratorCatalog, CatalogWith, Document, OwnAccelerator, Path, Scope
from suanli.spec.tree import Plain, Source, parse
from suanli.spec.workload import workload_of


class Declarations(msgspec.Struct, frozen=True, kw_only=True):
    """What the sources declare. `accelerators` are the fleet's own; `warnings` are what is allowed but seldom meant."""

    fleet: Fleet | None = None
    accelerators: tuple[OwnAccelerator, ...] = ()
    workloads: tuple[Workload, ...] = ()
    alerts: tuple[AlertRule, ...] = ()
    problems: tuple[PlacementProblem | MixProblem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def read(
    sources: Sequence[Source],
    catalog_with: CatalogWith,
    *,
    now_s: float,
    overrides: Sequence[str] = (),
    known: Collection[str] = (),
) -> Declarations:
    """Read YAML and JSON documents. O(characters).

    `catalog_with` gives the catalogue with the fleet's own accelerators; `now_s`, seconds since 1970, is what relative
    instants count from; `known` are the workloads accepted earlier, which others may wait for.
    Raises SpecErrors with every mistake of every source.
    """
    findings = Findings(tuple(source.name for source in sources))
    documents = [Document(source, root) for source in sources for root in parse(source, findings)]
    whole = not findings.problems
    override(documents, overrides, findings)
    check_names(documents, findings)
    shapes = [(document, shape) for document in documents if (shape := _shape(document, findings))]
    own, catalog = _catalog(shapes, catalog_with, findings)
    fleet: Fleet | None = None
    workloads: list[Read] = []
    alerts: list[AlertRule] = []
    problems: list[PlacementProblem | MixProblem] = []
    for document, shape in shapes:
        scope = Scope(document, catalog, now_s, findings)
        match shape:
            case FleetShape():
                fleet = fleet_of(shape, scope)
            case AlertShape():
                alerts += alert_of(shape, scope)
            case ProblemShape():
                problems.append(problem_of(shape, scope))
            case MixShape():
                problems.append(mix_of(shape, scope))
            case _:
                workloads.append(Read(workload_of(shape, scope), scope))
    if whole:
        declared = (document.name for document in documents if document.kind not in NO_WORKLOADS)
        check_dependencies(workloads, {*known, *declared})
    if fleet:
        check_against(fleet, workloads)
    if findings.problems:
        raise findings.errors()
    return Declarations(
        fleet=fleet,
        accelerators=own,
        workloads=tuple(item.workload for item in workloads),
        alerts=tuple(alerts),
        problems=tuple(problems),
        warnings=tuple(findings.warnings),
    )


def _shape(document: Document, findings: Findings) -> Declared | None:
    plain = document.root.plain()
    if not isinstance(plain, dict):
        message = f"expected a mapping; got {shown(plain)}"
        findings.refuse(document.problem((), message, "Begin with `kind` and `name`."))
        return None
    if document.kind not in SHAPES:
        near = nearest(document.kind, SHAPES)
        kinds = f"expected one of {', '.join(SHAPES)}; got {shown(plain.get('kind'))}"
        findings.refuse(document.problem(("kind",), kinds, f"Did you mean `{near}`?" if near else ""))
        return None
    shape = SHAPES[document.kind]
    try:
        return shape.model_validate(plain)
    except ValidationError as error:
        for problem in shape_problems(document, error):
            findings.refuse(problem)
        return _rest(shape, plain, error)


def _rest(shape: type[Declared], plain: dict[str, Plain], error: ValidationError) -> Declared | None:
    """The document without its wrong fields, so that what is wrong with the others comes to light as well."""
    for details in error.errors(include_url=False, include_input=False, include_context=False):
        _drop(plain, details["loc"])
    try:
        return shape.model_validate(plain)
    except ValidationError:
        return None  # a field that it cannot do without; its mistakes are told already


def _drop(fields: dict[str, Plain], path: Path) -> None:
    """Take a field out; of a list the whole, since the places of the others hang on it."""
    part, inner = str(path[0]) if path else "", None
    if len(path) > 1 and isinstance(path[1], str):
        inner = fields.get(part)
    if isinstance(inner, dict):
        _drop(inner, path[1:])
    else:
        fields.pop(part, None)


def _catalog(
    shapes: Sequence[tuple[Document, Declared]], catalog_with: CatalogWith, findings: Findings
) -> tuple[tuple[OwnAccelerator, ...], AcceleratorCatalog]:
    """The fleet's own accelerators, and the catalogue with them; without them where they contradict it."""
    for document, shape in shapes:
        if isinstance(shape, FleetShape) and shape.accelerators:
            own = own_accelerators(shape)
            try:
                return own, catalog_with(own)
            except SpecError as error:
                findings.refuse(document.problem(("accelerators",), error.sentence, error.remedy))
    return (), catalog_with(())
