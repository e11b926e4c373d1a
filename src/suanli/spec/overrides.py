"""`--set [NAME:]path=value`: values put into documents before anything else looks at them."""

import re
from collections.abc import Sequence

from suanli.spec.problems import Findings, Mark, Problem
from suanli.spec.scope import Document
from suanli.spec.tree import DEPTH_MAX, Node, Source, parse

_OVERRIDE = re.compile(r"(?:(?P<name>[^:=\s]+):)?(?P<path>[^:=\s]+)=(?P<value>.*)", re.DOTALL)
_OTHER_HOME = {"nodes": ("resources", "nodes"), "resources.nodes": ("nodes",)}
"""One field with two homes: setting it in one takes it from the other."""


def override(documents: Sequence[Document], overrides: Sequence[str], findings: Findings) -> None:
    """Change the documents in place, each override in turn.

    With a name it is for the documents of that name; without, for all workloads, or for all where there are none.
    A path's parts are fields, and list positions from 0; the value is YAML.
    """
    for text in overrides:
        mark = Mark(f"--set {text[:80]}")
        for message, remedy in _override(documents, text, mark, findings):
            findings.refuse(Problem(file=mark.file, line=0, column=0, message=message, remedy=remedy))


def _override(
    documents: Sequence[Document], text: str, mark: Mark, findings: Findings
) -> list[tuple[str, str]]:
    said = _OVERRIDE.fullmatch(text)
    if said is None or said["path"].count(".") >= DEPTH_MAX:
        remedy = "Such as `--set priority=70` or `--set gpt:resources.cpus=4`."
        return [("expected [NAME:]path=value", remedy)]
    chosen = _chosen(documents, said["name"])
    if not chosen:
        known = ", ".join(dict.fromkeys(document.name for document in documents))
        return [(f"there is no document {said['name'] or ''}", f"There are: {known[:300]}." if known else "")]
    value = next(iter(parse(Source(mark.file, f"- {said['value']}"), findings)), Node(mark, None))
    path = said["path"].split(".")
    refusals: list[tuple[str, str]] = []
    for document in chosen:
        if message := _put(document.root, path, _marked(value, mark), mark):
            refusals.append((f"{document.label}: {message}", ""))
        elif other := _OTHER_HOME.get(said["path"]):
            _take(document.root, other)
    return refusals


def _chosen(documents: Sequence[Document], name: str | None) -> Sequence[Document]:
    if name is not None:
        return [document for document in documents if document.name == name]
    return [document for document in documents if document.kind in ("train", "job", "serve")] or documents


def _put(node: Node, path: Sequence[str], value: Node, mark: Mark) -> str:
    """Put the value at the path, making mappings on the way; says why not where that cannot be."""
    part, rest = path[0], path[1:]
    if node.value is None:
        node.value = {}
    if isinstance(node.value, list):
        if not re.fullmatch(r"[0-9]{1,6}", part) or int(part) >= len(node.value):
            return f"`{part[:40]}` is no position in a list of {len(node.value)}, counted from 0"
        if rest:
            return _put(node.value[int(part)], rest, value, mark)
        node.value[int(part)] = value
        return ""
    if isinstance(node.value, str):
        return f"`{part[:40]}` cannot be set inside the text {node.value[:40]!r}"
    if rest:
        node.keys.setdefault(part, mark)
        return _put(node.value.setdefault(part, Node(mark, None)), rest, value, mark)
    node.value[part], node.keys[part] = value, mark
    return ""


def _take(node: Node, path: Sequence[str]) -> None:
    if isinstance(node.value, dict) and path[0] in node.value:
        if path[1:]:
            _take(node.value[path[0]], path[1:])
        else:
            del node.value[path[0]]


def _marked(node: Node, mark: Mark) -> Node:
    """A copy that stands wherever the override stands."""
    if isinstance(node.value, list):
        return Node(mark, [_marked(item, mark) for item in node.value])
    if isinstance(node.value, dict):
        inner = {key: _marked(item, mark) for key, item in node.value.items()}
        return Node(mark, inner, dict.fromkeys(inner, mark))
    return Node(mark, node.value)
