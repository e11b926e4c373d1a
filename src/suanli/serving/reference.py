"""The page `docs/reference/serving-metrics.md`, from what gateways and runtimes tell."""

from suanli.serving.gateway.exposition import families
from suanli.serving.runtime.metrics import Metrics
from suanli.telemetry.reference import family_row


def reference() -> str:
    """Markdown. Whoever adds a metric renews the page; a test compares the two."""
    gateway = [family_row(f.name, f.kind, f.labels, f.meaning) for f in families()]
    runtime = [f"| `{name}` | {kind} | {meaning}. |" for name, kind, meaning in Metrics().families()]
    return _PAGE.format(gateway="\n".join(gateway), runtime="\n".join(runtime))


_PAGE = """# Metrics of services

Prometheus' text format, beside [what the controller tells](metrics.md).

## What a gateway's `/metrics` tells

To its own machine only. Each worker counts for itself since it began, so sum over `worker`; `revision` is that of the
service. A histogram's bounds grow by the factor 2.3, from a millisecond to minutes.

| Name | Type | Labels | Meaning |
| --- | --- | --- | --- |
{gateway}

## What a replica's `/metrics` tells

Of those with a runtime of Suanli; vLLM tells its own.

| Name | Type | Meaning |
| --- | --- | --- |
{runtime}
"""
