"""Data sets of evaluations: what is read, and how every mistake is told."""

import hashlib

import pytest

from suanli.domain.errors import NotFound
from suanli.models.evaluation.datasets import CLASSIFICATION, read, write
from suanli.spec.problems import SpecErrors


def test_json_lines_and_csv_say_the_same(tmp_path):
    lines, sheet = tmp_path / "pets.jsonl", tmp_path / "pets.csv"
    lines.write_text(
        '{"input": "purrs", "label": "cat", "id": 1}\n\n{"input": "barks, loud", "label": "dog"}\n'
    )
    sheet.write_text('input,label\npurrs,cat\n"barks, loud",dog\n')
    one, other = read(lines), read(sheet)
    assert (one.name, one.fields) == ("pets", ("input", "label"))
    assert one.sha256 == hashlib.sha256(lines.read_bytes()).hexdigest()
    assert [(row["input"], row["label"]) for row in one.rows] == [("purrs", "cat"), ("barks, loud", "dog")]
    assert list(other.rows) == [{"input": row["input"], "label": row["label"]} for row in one.rows]
    for data, path in ((one, tmp_path / "again.jsonl"), (other, tmp_path / "again.csv")):
        write(path, data.rows)
        assert read(path).rows == data.rows


def test_scores_of_a_csv_are_numbers(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("a,b,score\nx,y,0.5\n")
    assert read(file).rows == ({"a": "x", "b": "y", "score": 0.5},)


def test_every_bad_row_is_told_with_its_line(tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(
        b'{"input": "ok", "label": "x"}\n{"input": "no label"}\nnot json\n[1]\n'
        b'{"input": "", "label": "x"}\n\xff\xfe\n{"input": "z", "label": null}\n{"input": "ok", "label": 3}\n'
    )
    with pytest.raises(SpecErrors) as refused:
        read(file)
    told = {problem.line: problem.message for problem in refused.value.problems}
    assert sorted(told) == [2, 3, 4, 5, 6, 7]
    assert told[2] == "label is missing"
    assert told[6].startswith("not UTF-8")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file has no rows"),
        ('{"x": 1}\n', "expected"),
        ('{"a": "x", "b": "y", "score": NaN}\n', "score must be a finite number"),
        ('{"text": "  "}\n', "text must be a text with something in it"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_no_task_can_use_is_refused(tmp_path, text, message):
    file = tmp_path / "data.jsonl"
    file.write_text(text)
    with pytest.raises(SpecErrors, match=message):
        read(file)


def test_a_row_of_a_csv_with_other_columns_is_refused(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("input,label\na,b,c\nd\n")
    with pytest.raises(SpecErrors) as refused:
        read(file)
    assert [problem.line for problem in refused.value.problems] == [2, 3]


def test_rows_must_fit_the_task_that_was_chosen(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "a"}\n')
    with pytest.raises(SpecErrors, match="input is missing"):
        read(file, CLASSIFICATION)
    with pytest.raises(NotFound):
        read(tmp_path / "nothing.jsonl")
