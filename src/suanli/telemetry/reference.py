"""The page `docs/reference/metrics.md`, from the tables that the code itself uses."""

from collections.abc import Mapping, Sequence

from suanli.telemetry.families import FAMILIES, Family
from suanli.telemetry.readings import NODE_METRICS, WORKLOAD_METRICS


def reference() -> str:
    """Markdown. Whoever adds a metric writes it to the page; a test compares the two."""
    return _PAGE.format(
        families="\n".join(map(_family_row, FAMILIES)),
        node_metrics=_rows(NODE_METRICS),
        workload_metrics=_rows(WORKLOAD_METRICS),
    )


def family_row(name: str, kind: str, labels: Sequence[str], meaning: str) -> str:
    """Of a table of metrics, `name` as Prometheus shows it."""
    said = ", ".join(f"`{label}`" for label in labels) or "–"
    return f"| `{name}` | {kind} | {said} | {meaning} |"


def _family_row(family: Family) -> str:
    name = family.name + ("_total" if family.kind == "counter" else "")
    return family_row(name, family.kind, family.labels, family.help)


def _rows(meanings: Mapping[str, str]) -> str:
    return "\n".join(f"| `{name}` | {meaning} |" for name, meaning in meanings.items())


_PAGE = """# Metrics

## What `/metrics` tells

Prometheus' text format. Ratios are fractions between 0 and 1; loads are means over the last minute. A metric without
a value here and now (no accelerator, nothing waiting, no sample yet) is left out: unknown is not zero. Counters sum
over the workloads that are known, so they may fall when finished ones are removed. What gateways and
replicas of services tell is on [a page of its own](serving-metrics.md).

| Name | Type | Labels | Meaning |
| --- | --- | --- | --- |
{families}

## What alert rules and reports may name

A rule speaks of every node or workload that reports its metric. Fractions are between 0 and 1.

Of nodes:

| Metric | Meaning |
| --- | --- |
{node_metrics}

Of workloads:

| Metric | Meaning |
| --- | --- |
{workload_metrics}
"""
