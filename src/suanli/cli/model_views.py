"""What the API says of models, as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from suanli.cli.render import Table, clock, listed
from suanli.reports.quantities import memory

View = Mapping[str, Any]

CHANGES_SHOWN = 10


def model_table(body: View) -> Table:
    """A row for each model, as its newest version is."""
    newest = {version["name"]: version for version in body["versions"]}
    counts: dict[str, int] = {}
    for version in body["versions"]:
        counts[version["name"]] = counts.get(version["name"], 0) + 1
    rows = [
        [
            name,
            str(counts[name]),
            str(version["number"]),
            version["task"],
            version["format"],
            memory(version["size_bytes"]),
            clock(version["created_s"]),
            listed(f"{a['alias']}={a['number']}" for a in body["aliases"] if a["name"] == name),
        ]
        for name, version in newest.items()
    ]
    columns = ["MODEL", "VERSIONS", "NEWEST", "TASK", "FORMAT", "SIZE", "PUSHED", "ALIASES"]
    return Table(columns, rows, empty="No models. `suanli models push FOLDER --name NAME` adds one.")


def version_table(body: View) -> Table:
    rows = [
        [
            str(version["number"]),
            listed(a["alias"] for a in body["aliases"] if a["number"] == version["number"]),
            version["task"],
            version["format"],
            memory(version["size_bytes"]),
            clock(version["created_s"]),
            version["actor"],
            " ".join(f"{key}={value}" for key, value in version["tags"].items()),
        ]
        for version in body["versions"]
    ]
    columns = ["VERSION", "ALIASES", "TASK", "FORMAT", "SIZE", "PUSHED", "BY", "TAGS"]
    return Table(columns, rows)


def version_text(version: View) -> str:
    return "\n".join(_lines(version))


def _lines(version: View) -> Iterator[str]:
    yield f"{version['name']}/{version['number']}  {version['format']}  {memory(version['size_bytes'])}"
    facts = {
        "task": version["task"],
        "pushed": f"{clock(version['created_s'])} by {version['actor']}",
        "digest": version["digest"],
        **{key.replace("_", " "): value for key, value in version["lineage"].items()},
        **{f"tag {key}": value for key, value in version["tags"].items()},
    }
    yield from (f"  {key:<16} {value}" for key, value in facts.items() if value)
    for evaluation in version["evaluations"][-CHANGES_SHOWN:]:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in evaluation["metrics"].items())
        yield f"  evaluated        {evaluation['suite']}: {figures}"
    for file in version["files"]:
        code = "  code" if file["code"] else ""
        yield f"  {memory(file['size_bytes']):>10}  {file['sha256'][:12]}  {file['path']}{code}"
