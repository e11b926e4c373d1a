"""No text makes reading it long, deep or dangerous."""

import pytest

JOB = "kind: job\nname: a\nrun: x\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (JOB + "env: " + "{a: " * 31 + "b" + "}" * 31, "nested deeper than 32 levels"),
        ("[" * 1_000_000, "nested deeper than 32 levels"),
        ("- " * 1_000_000, "nested deeper than 32 levels"),
        (JOB + f"env: {{A: {'x' * 70_000}}}", "longer than 65,536 characters"),
        (JOB + "env: [" + "aaaa, " * 180_000 + "]", "longer than 1,048,576 characters"),
        (JOB + "env: [" + "a," * 220_000 + "]", "more than 200,000 values"),
        ("#" * (16 * 2**20 + 1), "longer than 16,777,216 characters"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]", "aliases such as *a"),
        (JOB + "nodes: 999999999999999999999", "from 1 to 100000"),
        ("kind: serve\nname: a\nrun: x\nreplicas: 999999", "1 to 10,000 replicas"),
        (
            "kind: fleet\nname: f\nnodes:\n" + "- {name: n, count: 99999, cpus: 1, memory: 1GiB}\n" * 2,
            "at most 100,000",
        ),
        (
            "kind: fleet\nname: f\nnodes: [{name: n, cpus: 1, memory: 1GiB, accelerators: T4:9999}]",
            "at most 1024",
        ),
    ],
)
def test_a_text_beyond_a_limit_is_refused(mistakes, text, message):
    assert any(message in problem.message for problem in mistakes(text))


def test_messages_quote_little_of_a_long_text(mistakes):
    (problem,) = mistakes(JOB + "priority: " + "9" * 60_000)
    assert len(str(problem)) < 300


def test_many_documents_may_be_longer_together_than_one_may_be(declare):
    text = "---\n".join(f"kind: job\nname: a{n}\nrun: x\nenv: {{A: {'x' * 60_000}}}\n" for n in range(20))
    assert len(text) > 2**20
    assert len(declare(text).workloads) == 20
