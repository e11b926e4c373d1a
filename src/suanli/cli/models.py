"""`models`: the registry. Push versions, name them by aliases, promote and roll back, pull them again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanli.cli.client import Client, connect, path_of
from suanli.cli.main import SETTINGS
from suanli.cli.session import Session, command
from suanli.domain.errors import NotFound, UsageError

if TYPE_CHECKING:
    from suanli.domain.model import Reference

models = typer.Typer(
    no_args_is_help=True, help="Keep models: push, name, promote, roll back, pull.", **SETTINGS
)

Ref = Annotated[
    str, typer.Argument(metavar="MODEL", help="`chat` for the newest, `chat/3`, or `chat@prod` by alias.")
]
Aliased = Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="Such as `chat@prod`.")]
AliasName = Annotated[str, typer.Argument(metavar="ALIAS", help="Such as `prod`.")]
Tags = Annotated[list[str], typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be given again.")]
NONE: list[str] = []
"""typer's way to say "none"; never changed."""


@models.command("push")
@command
def push(
    session: Session,
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A folder, a file, `s3://…`, or `models:/NAME/N` of MLflow."),
    ],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The model's name.")],
    task: Annotated[
        str,
        typer.Option("--task", metavar="TASK", help="What it is for. Default: what its config.json tells."),
    ] = "",
    tag: Tags = NONE,
    alias: Annotated[str, typer.Option("--alias", metavar="ALIAS", help="Let this alias name it.")] = "",
    exclude: Annotated[
        list[str],
        typer.Option("--exclude", metavar="PATTERN", help="Leave out what matches, as `*.bin` does."),
    ] = NONE,
    code: Annotated[
        bool, typer.Option("--code", help="Programs among the files are meant to be there.")
    ] = False,
    job: Annotated[str, typer.Option("--job", metavar="NAME", help="The job that made it.")] = "",
    parent: Annotated[
        str, typer.Option("--parent", metavar="MODEL", help="The version it was made of, as `gpt/3`.")
    ] = "",
    how: Annotated[str, typer.Option("--how", metavar="TEXT", help="How it was made of that.")] = "",
    data: Annotated[
        str, typer.Option("--data", metavar="TEXT", help="The data that it was trained on.")
    ] = "",
    git_commit: Annotated[
        str, typer.Option("--git-commit", metavar="HASH", help="The commit of the code that made it.")
    ] = "",
) -> None:
    """Push a model: a new version, or the one of this content that is there.

    Weights are taken as safetensors, ONNX or GGUF, told by their content; pickles are refused. Interrupted, the same
    command goes on where it was. Content that is there under any name is not sent again.
    """
    from suanli.cli.model_transfer import TRANSFER_S, patiently, promised, send
    from suanli.domain.model import check_alias, check_name, parse_reference
    from suanli.models.source import open_source

    check_name(name)
    if alias:
        check_alias(alias)
    if parent:
        parse_reference(parent)
    client = connect(session.home, session.timeout_s or TRANSFER_S)
    with open_source(source, exclude) as opened:
        files = promised(session, opened, code=code)
        asked = {
            "files": [{"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in files],
            "task": task or opened.task,
            "tags": {**opened.tags, **_pairs(tag)},
            "lineage": {"job": job, "parent": parent, "how": how, "data": data, "git_commit": git_commit},
            "code": code,
        }
        begun = patiently(lambda: client.post(path_of("models", name, "uploads"), asked))
        version = begun["version"]
        if version is None:
            by_path = {file.path: file for file in opened.files}
            send(session, client, name, begun, {file.sha256: by_path[file.path] for file in files})
            version = client.post(path_of("models", name, "uploads", begun["upload"], "commit"))
        else:
            session.note(f"The same content is there already, as {name}/{version['number']}.")
            if tag:
                path = path_of("models", name, str(version["number"]), "tags")
                version = client.patch(path, {"tags": _pairs(tag)})
    if alias:
        client.put(path_of("models", name, "aliases", alias), {"number": version["number"]})
    session.show(version, lambda: f"{name}/{version['number']}")


@models.command("list")
@command
def list_(session: Session) -> None:
    """List models: versions, aliases, task, size."""
    from suanli.cli.model_views import model_table

    body = session.connect().get("/v1/models")
    session.show(body, lambda: model_table(body))


@models.command("show")
@command
def show(session: Session, model: Ref) -> None:
    """Show a model with its versions and history, or one version with its files."""
    from suanli.cli.model_views import version_table, version_text

    client, reference = session.connect(), _read(model)
    if reference.number is None and not reference.alias:
        body = client.get(path_of("models", reference.name))
        session.show(body, lambda: version_table(body))
    else:
        version = _version(client, reference)
        session.show(version, lambda: version_text(version))


@models.command("alias")
@command
def alias_(
    session: Session,
    model: Ref,
    alias: AliasName,
    *,
    expect: Annotated[
        int | None,
        typer.Option("--expect", min=0, metavar="N", help="Only if it names version N now; 0: nothing."),
    ] = None,
) -> None:
    """Let an alias name a version."""
    client = session.connect()
    version = _version(client, _read(model))
    asked: dict[str, Any] = {"number": version["number"]}
    if expect is not None:
        asked["expected"] = expect
    _show_alias(session, client.put(path_of("models", version["name"], "aliases", alias), asked))


@models.command("unalias")
@command
def unalias(session: Session, model: Aliased) -> None:
    """Take an alias away; the version stays."""
    reference = _aliased(model)
    body = session.connect().delete(path_of("models", reference.name, "aliases", reference.alias))
    session.show(body, lambda: f"{reference} names nothing any more")


@models.command("promote")
@command
def promote(session: Session, model: Aliased, alias: AliasName) -> None:
    """Let an alias name what another one names, as in `promote chat@staging prod`."""
    reference = _aliased(model)
    path = path_of("models", reference.name, "aliases", alias)
    _show_alias(session, session.connect().put(path, {"same_as": reference.alias}))


@models.command("rollback")
@command
def rollback(session: Session, model: Aliased) -> None:
    """Let an alias name again what it named before; again, and it goes one step further back."""
    reference = _aliased(model)
    path = path_of("models", reference.name, "aliases", reference.alias, "rollback")
    _show_alias(session, session.connect().post(path))


@models.command("tag")
@command
def tag_(
    session: Session,
    model: Ref,
    tags: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Tags to set; `KEY=` takes one away.")
    ],
) -> None:
    """Set tags of a version, or take them away."""
    client = session.connect()
    version = _version(client, _read(model))
    asked = {key: value or None for key, value in _pairs(tags).items()}
    body = client.patch(path_of("models", version["name"], str(version["number"]), "tags"), {"tags": asked})
    session.show(body, lambda: "\n".join(f"{key}={value}" for key, value in body["tags"].items()))


@models.command("delete")
@command
def delete(session: Session, model: Ref) -> None:
    """Delete a version that no alias names and no running service uses; it is named by its number."""
    reference = _read(model)
    if reference.number is None:
        raise UsageError("A version to delete is named by its number.", remedy=f"As in `{reference.name}/3`.")
    body = session.connect().delete(path_of("models", reference.name, str(reference.number)))
    session.show(body, lambda: f"{reference} is deleted")
    session.note("`suanli models gc` removes the files that no other version needs.")


@models.command("pull")
@command
def pull(
    session: Session,
    model: Ref,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Where to; must not exist. Default: `chat-3`.")
    ] = None,
) -> None:
    """Fetch a version's files into a folder, verified; interrupted, the same command goes on where it was."""
    from suanli.cli.model_transfer import TRANSFER_S, fetch

    client = connect(session.home, session.timeout_s or TRANSFER_S)
    version = _version(client, _read(model))
    target = (folder or Path(f"{version['name']}-{version['number']}")).absolute()
    fetch(session, client, version, target)
    session.show({"folder": str(target), "version": version}, lambda: str(target))


@models.command("evaluate")
@command
def evaluate(
    session: Session,
    model: Ref,
    *,
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="JSON lines, or CSV with a header.")],
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASK",
            help="classification, language-modelling, embeddings or pairs. Default: what the data is made for.",
        ),
    ] = "",
    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME", help="What it is kept as. Default: the file's name.")
    ] = "",
    metrics: Annotated[
        str, typer.Option("--metrics", metavar="NAMES", help="Only these, as in accuracy,f1_macro.")
    ] = "",
    against: Annotated[
        str, typer.Option("--against", metavar="MODEL", help="Ask this version too, and compare.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="Only the first N rows.")] = 0,
    split: Annotated[
        str,
        typer.Option(
            "--split", metavar="SPLIT", help="holdout:0.2 asks about that part; kfold:5 with --recipe."
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of splits and intervals.")] = 0,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="COMMAND",
            help="Trains a model for each fold, from SUANLI_TRAIN_FILE into SUANLI_OUTPUT_DIR.",
        ),
    ] = "",
    service: Annotated[
        str,
        typer.Option(
            "--service", metavar="NAME", help="Ask this running service. Default: run the version here."
        ),
    ] = "",
    key: Annotated[
        str, typer.Option("--key", envvar="SUANLI_KEY", metavar="KEY", help="An API key, for --service.")
    ] = "",
    code: Annotated[
        str, typer.Option("--code", metavar="MODULE:CLASS", help="Run the version by this code.")
    ] = "",
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, metavar="N", help="Requests at a time.")
    ] = 8,
) -> None:
    """Measure how good a version is on a data set, and keep the figures with it.

    Rows are {"input", "label"}, {"text"}, or {"a", "b", "score"}. After Ctrl-C what is known is shown and nothing kept.
    """
    import msgspec

    from suanli.cli import evaluating
    from suanli.cli.model_transfer import TRANSFER_S
    from suanli.models.evaluation.datasets import KINDS
    from suanli.spec.command import argv

    if task and task not in KINDS:
        raise UsageError(f"{task!r} is no task of an evaluation.", remedy=f"Choose among {', '.join(KINDS)}.")
    try:
        words = argv(recipe) if recipe else ()
    except ValueError as error:
        raise UsageError(f"--recipe: {error}.") from error
    client = connect(session.home, session.timeout_s or TRANSFER_S)
    version = _version(client, _read(model))
    other = _version(client, _read(against)) if against else None
    wanted = evaluating.Wanted(
        data=data, task=task, suite=suite, metrics=tuple(metrics.split(",")) if metrics else (), limit=limit,
        split=split, seed=seed, concurrency=concurrency, service=service, key=key, code=code, recipe=tuple(words),
    )  # fmt: skip
    result = evaluating.evaluated(session, client, version, other, wanted)
    session.show(msgspec.to_builtins(result), lambda: evaluating.table(result))
    if not result.stored:
        raise typer.Exit(evaluating.INTERRUPTED)


@models.command("gc")
@command
def gc(
    session: Session,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove files that no version needs, and uploads that nobody went on with for a day."""
    from suanli.reports.quantities import memory

    body = session.connect().post(f"/v1/models/-/gc?dry_run={str(dry_run).lower()}")
    verb = "would be removed" if dry_run else "removed"
    said = f"{body['blobs']} files, {memory(body['freed_bytes'])}, {body['uploads']} stale uploads {verb}"
    session.show(body, lambda: said)


def _read(text: str) -> "Reference":
    from suanli.domain.model import parse_reference

    return parse_reference(text)


def _aliased(text: str) -> "Reference":
    reference = _read(text)
    if not reference.alias:
        raise UsageError(f"{text!r} names no alias.", remedy="Write it as `chat@prod`.")
    return reference


def _version(client: Client, reference: "Reference") -> dict[str, Any]:
    """The version that a reference names now."""
    body = client.get(path_of("models", reference.name))
    number = reference.number or body["versions"][-1]["number"]
    if reference.alias:
        named = [a["number"] for a in body["aliases"] if a["alias"] == reference.alias]
        number = named[0] if named else -1
    for version in body["versions"]:
        if version["number"] == number:
            return version
    raise NotFound(
        f"There is no model version {reference}.",
        remedy=f"`suanli models show {reference.name}` shows its versions and aliases.",
        code="SL-NO-MODEL",
    )


def _pairs(said: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in said:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} is no tag.", remedy="Write it as KEY=VALUE.")
        pairs[key] = value
    return pairs


def _show_alias(session: Session, body: Mapping[str, Any]) -> None:
    session.show(body, lambda: f"{body['name']}@{body['alias']} names {body['name']}/{body['number']}")
