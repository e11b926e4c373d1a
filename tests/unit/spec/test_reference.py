"""The schema, the page and the examples say what the reader does."""

import json
import re
from pathlib import Path

import pytest

from suanli.spec import schema
from suanli.spec.reference import reference

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "yaml.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_is_what_the_models_say():
    assert PAGE.read_text() == reference()


def test_every_example_of_the_page_can_be_read(declare):
    assert len(EXAMPLES) == 5
    read = declare(*EXAMPLES)
    assert (read.fleet.name, len(read.workloads), len(read.alerts), read.warnings) == ("lab", 3, 1, ())
    assert [problem.name for problem in read.problems] == ["tonight", "next-month"]


@pytest.mark.parametrize("folder", sorted((ROOT / "examples").glob("*")), ids=lambda path: path.name)
def test_every_shipped_example_can_be_read(declare, folder):
    texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    assert declare("\n---\n".join(texts)).warnings == ()


def test_the_schema_is_one_of_the_kinds():
    whole = schema()
    kinds = {
        kind
        for option in whole["oneOf"]
        for field in [whole["$defs"][option["$ref"].rpartition("/")[2]]["properties"]["kind"]]
        for kind in field.get("enum", [field.get("const")])
    }
    assert kinds == {"fleet", "train", "job", "serve", "alert", "problem", "mix"}
    assert json.loads(json.dumps(whole)) == whole


def test_the_schema_helps_an_editor():
    job = next(part for part in schema()["$defs"].values() if "checkpoint" in part.get("properties", {}))
    assert job["additionalProperties"] is False
    assert set(job["required"]) == {"kind", "name", "run"}
    priority = job["properties"]["priority"]
    assert (priority["minimum"], priority["maximum"], priority["default"]) == (0, 100, 50)
    assert priority["examples"] == [70]
    assert priority["description"]
