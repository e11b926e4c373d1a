"""Whatever is handed in, reading ends soon: in declarations, or in mistakes that say where they are."""

import json
import re
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from suanli.catalog.accelerators import load
from suanli.spec import Declarations, Source, SpecErrors, read
from suanli.spec.schema import SHAPES, schema_of, walk

SOON = timedelta(seconds=1)

FIELDS = sorted({str(path[-1]) for kind in SHAPES for path, _ in walk(schema_of(kind))})
TEXTS = sorted(
    {str(text) for kind in SHAPES for _, field in walk(schema_of(kind)) for text in field.get("examples", ())}
)
SCALARS = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(["1..4", "4+", "0", "-1", "1e999", "nan", "", "~", "H100:8", "2026-01-01T00:00", "5%"]),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
DOCUMENTS = st.lists(
    st.builds(
        lambda kind, name, fields: {"kind": kind, "name": name, "run": "x", **fields},
        st.sampled_from(sorted(SHAPES)),
        st.sampled_from(["a", "b"]) | st.text(max_size=5),
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8),
    ),
    max_size=3,
)
YAML_LIKE = st.lists(
    st.sampled_from(
        ["kind: job", "name: a", "run: x", "---", "- ", "  ", "\n", "{", "}", "[", "]", ": ", "&a", "*a", "!!str", '"',
         "'", "|", ">", "#", "%", "@", "\t", "\\ud83d", "\ud800", "\0", "?", ",", "x", "\r\n", "\u2028", "..."]
    ),
    max_size=60,
).map("".join)  # fmt: skip


def outcome(text: str, overrides: list[str]) -> Declarations | SpecErrors:
    try:
        return read([Source("f", text)], lambda own: load(), now_s=1.8e9, overrides=overrides)
    except SpecErrors as error:
        return error


def check(text: str, overrides: list[str]) -> None:
    told = outcome(text, overrides)
    if isinstance(told, SpecErrors):
        assert told.problems
        assert str(told)
        lines = len(re.findall(r"[\r\n\x85\u2028\u2029]", text)) + 1
        assert all(problem.line <= lines + 1 and problem.message for problem in told.problems)


@given(st.text(alphabet=st.characters(), max_size=200))
@example('[{"a": "\\ud83d"}]')
@settings(deadline=SOON)
def test_any_text_ends_in_declarations_or_mistakes(text: str) -> None:
    check(text, [])


@given(YAML_LIKE)
@settings(deadline=SOON)
def test_almost_yaml_ends_in_declarations_or_mistakes(text: str) -> None:
    check(text, [])


@given(DOCUMENTS)
@settings(deadline=SOON)
def test_any_json_documents_end_in_declarations_or_mistakes(documents: list[object]) -> None:
    check(json.dumps(documents, indent=1), [])


@given(
    st.lists(
        st.text(max_size=20) | st.builds("{}={}".format, st.sampled_from(FIELDS), st.sampled_from(TEXTS))
    )
)
@settings(deadline=SOON)
def test_any_overrides_end_in_declarations_or_mistakes(overrides: list[str]) -> None:
    check("kind: job\nname: a\nrun: x\ndata: [{uri: u}]", overrides)
