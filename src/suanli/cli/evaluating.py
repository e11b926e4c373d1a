"""`models evaluate`: how good a version is on a data set; the figures are kept with it."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from suanli.cli.client import Client, path_of
from suanli.cli.progress_line import ProgressLine
from suanli.cli.render import Table
from suanli.cli.session import Session
from suanli.domain.errors import Conflict, UsageError

if TYPE_CHECKING:
    from suanli.models.evaluation.asking import Answers
    from suanli.models.evaluation.datasets import DataSet
    from suanli.models.evaluation.replica import Endpoint
    from suanli.models.evaluation.splits import Fold

INTERRUPTED = 130


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks. `task` is one of `datasets.KINDS`, empty for what data and version are made for."""

    data: Path
    task: str = ""
    suite: str = ""
    metrics: tuple[str, ...] = ()
    limit: int = 0
    split: str = ""
    seed: int = 0
    concurrency: int = 8
    service: str = ""
    key: str = ""
    code: str = ""
    recipe: tuple[str, ...] = ()


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, as `-o json` prints it. `stored` is false after Ctrl-C."""

    model: str
    task: str
    suite: str
    data_sha256: str
    samples: int
    seed: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    against: str = ""
    against_metrics: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    how: str = ""
    stored: bool = False


def evaluated(
    session: Session,
    client: Client,
    version: Mapping[str, Any],
    other: Mapping[str, Any] | None,
    wanted: Wanted,
) -> Evaluated:
    """Ask the version, and the other one where there is one, and keep the figures with the first.

    Raises UsageError where the options don't go together, and what comes of the data, the model or the recipe.
    """
    from suanli.models.evaluation import datasets

    data = datasets.read(wanted.data, wanted.task)
    kind = wanted.task or _kind_of(data, version)
    _check(kind, other, wanted)
    if wanted.limit:
        data = msgspec.structs.replace(data, rows=data.rows[: wanted.limit])
    rows, answers = _answers(session, client, version, wanted, kind, data)
    others = None
    if other is not None and not answers.interrupted:
        local = msgspec.structs.replace(wanted, service="", recipe=(), split="")
        held = msgspec.structs.replace(data, rows=tuple(rows))
        _, others = _answers(session, client, other, local, kind, held)
    return _kept(client, version, other, wanted, kind, data, rows, answers, others)


def _kept(
    client: Client, version: Mapping[str, Any], other: Mapping[str, Any] | None, wanted: Wanted, kind: str,
    data: "DataSet", rows: Sequence[Mapping[str, Any]], answers: "Answers", others: "Answers | None",
) -> Evaluated:  # fmt: skip
    """The figures, stored with the version unless it was interrupted."""
    from suanli.models.evaluation.datasets import EMBEDDINGS
    from suanli.models.evaluation.figures import Figures, chosen, figures

    against = others if kind == EMBEDDINGS else None
    whole = not answers.interrupted and not (others is not None and others.interrupted)
    if kind == EMBEDDINGS and others is None:
        found = Figures(metrics={}, intervals={}, samples=len(answers.said))
    else:
        found = chosen(figures(kind, rows, answers, seed=wanted.seed, against=against), wanted.metrics)
    theirs: Figures | None = None
    if others is not None and kind != EMBEDDINGS and others.said:
        theirs = chosen(figures(kind, rows, others, seed=wanted.seed), wanted.metrics)
    result = Evaluated(
        model=f"{version['name']}/{version['number']}",
        task=kind,
        suite=wanted.suite or data.name,
        data_sha256=data.sha256,
        samples=found.samples,
        seed=wanted.seed,
        metrics=found.metrics,
        intervals=found.intervals,
        against=f"{other['name']}/{other['number']}" if other else "",
        against_metrics=theirs.metrics if theirs else {},
        how=_how(wanted),
        stored=whole,
    )
    if whole:
        path = path_of("models", version["name"], str(version["number"]), "evaluations")
        names = ("suite", "metrics", "data_sha256", "samples", "seed", "intervals", "against", "how")
        client.post(
            path, {name: value for name, value in msgspec.to_builtins(result).items() if name in names}
        )
    return result


def table(result: Evaluated) -> Table:
    """A row for each figure."""
    rows = [
        [
            name,
            f"{value:.6g}",
            "{:.4g} … {:.4g}".format(*result.intervals[name]) if name in result.intervals else "",
            *([_figure(result.against_metrics.get(name))] if result.against_metrics else []),
        ]
        for name, value in result.metrics.items()
    ]
    columns = ["METRIC", "VALUE", "95 %", *([result.against.upper()] if result.against_metrics else [])]
    kept = "" if result.stored else ", not stored"
    beside = f" against {result.against}" if result.against else ""
    title = f"{result.model}{beside} on {result.suite}: {result.samples} samples{kept}"
    return Table(columns, rows, title=title, empty=f"{title}: nothing is known yet.")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _kind_of(data: "DataSet", version: Mapping[str, Any]) -> str:
    from suanli.models.evaluation.datasets import EMBEDDINGS, FIELDS, LANGUAGE

    if data.fields == FIELDS[LANGUAGE]:
        return EMBEDDINGS if version["task"] == "embeddings" else LANGUAGE
    return next(kind for kind, fields in FIELDS.items() if fields == data.fields)


def _check(kind: str, other: Mapping[str, Any] | None, wanted: Wanted) -> None:
    from suanli.models.evaluation.datasets import EMBEDDINGS

    if kind == EMBEDDINGS and other is None:
        raise UsageError(
            "Embeddings of texts alone are held against those of another version.",
            remedy='Name it with `--against NAME/N`, or give pairs with scores: `{"a", "b", "score"}`.',
        )
    if wanted.split.startswith("kfold") and not wanted.recipe:
        raise UsageError(
            "Folds are for models that are trained for each of them.",
            remedy='Give `--recipe "python train.py"`, or hold out a part: `--split holdout:0.2`.',
        )
    if wanted.recipe and (wanted.service or not wanted.split):
        raise UsageError(
            "A recipe is run here, for each fold of a split.", remedy="Give `--split`, and no `--service`."
        )


def _how(wanted: Wanted) -> str:
    from suanli.models.evaluation.splits import parse_split

    parts = [str(parse_split(wanted.split))] if wanted.split else []
    parts += ["recipe"] if wanted.recipe else []
    parts += [f"service {wanted.service}"] if wanted.service else []
    return ", ".join(parts)


def _answers(
    session: Session, client: Client, version: Mapping[str, Any], wanted: Wanted, kind: str, data: "DataSet"
) -> "tuple[list[Mapping[str, Any]], Answers]":
    """The rows that are asked about, and what was said to them."""
    from suanli.models.evaluation.asking import asked
    from suanli.models.evaluation.splits import Fold, folds, parse_split

    parts = (Fold((), tuple(range(len(data.rows)))),)
    if wanted.split:
        parts = folds(len(data.rows), parse_split(wanted.split), wanted.seed)
    rows: list[Mapping[str, Any]] = []
    together: Answers | None = None
    for number, fold in enumerate(parts):
        said = (
            f"Fold {number + 1} of {len(parts)}"
            if len(parts) > 1
            else f"{version['name']}/{version['number']}"
        )
        tested = data.part(fold.test)
        with _endpoint(session, client, version, wanted, data, fold) as endpoint:
            line = ProgressLine(session)

            def told(
                count: int, said: str = said, total: int = len(tested), line: ProgressLine = line
            ) -> None:
                if line.is_due:
                    line.say(f"{said}: {count} of {total} answered")

            answers = asked(endpoint, kind, tested, concurrency=wanted.concurrency, told=told)
            line.end()
        together = answers if together is None else together.joined(answers, len(rows))
        rows += tested
        if answers.interrupted:
            break
    assert together is not None
    return rows, together


@contextmanager
def _endpoint(
    session: Session,
    client: Client,
    version: Mapping[str, Any],
    wanted: Wanted,
    data: "DataSet",
    fold: "Fold",
) -> "Iterator[Endpoint]":
    """What answers: a service, or a runtime on the version's files or on what the recipe leaves for the fold."""
    from suanli.cli.model_transfer import fetch
    from suanli.models.evaluation.recipe import trained
    from suanli.models.evaluation.replica import runtime_on, service_at

    if wanted.service:
        view = client.get(path_of("services", wanted.service))
        _check_serves(view, version)
        yield service_at(view["url"], wanted.service, wanted.key)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suanli-evaluate-")))
        if wanted.recipe:
            served = trained(wanted.recipe, data, fold, folder)
        else:
            served = folder / "model"
            fetch(session, client, version, served)
        runtime = _runtime(version, wanted.code)
        task = "" if wanted.code else version["task"]
        yield stack.enter_context(runtime_on(served, runtime, task=task, code=wanted.code))


def _check_serves(view: Mapping[str, Any], version: Mapping[str, Any]) -> None:
    """Raises Conflict where another version would answer, or answer too."""
    serving = {each["model"] for each in view["revisions"] if each["share"] > 0} or {view["model"]}
    if serving != {f"{version['name']}/{version['number']}"}:
        raise Conflict(
            f"{view['name']} serves {', '.join(sorted(serving)) or 'no model of the registry'},"
            f" not {version['name']}/{version['number']}.",
            remedy="Evaluate what it serves, or leave `--service` out to run the version here.",
            code="SL-EVALUATE-SERVICE",
        )


def _runtime(version: Mapping[str, Any], code: str) -> str:
    from suanli.control.models import RUNTIMES
    from suanli.domain.model import Format

    name = "python" if code else RUNTIMES.get(Format(version["format"]), "")
    if not name:
        raise UsageError(
            f"{version['name']}/{version['number']} is a {version['format']} model, which no runtime here serves.",
            remedy="Serve it, and ask the service with `--service NAME`; or give `--code module:Class`.",
            code="SL-MODEL-RUNTIME",
        )
    return name
