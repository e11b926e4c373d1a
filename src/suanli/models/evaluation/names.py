"""What the names of figures tell. Nothing heavy is imported here: a controller asks it."""

LOWER_ENDINGS = ("_s", "loss", "error", "error_rate")
LOWER = frozenset(("perplexity", "bits_per_byte"))


def lower_is_better(metric: str) -> bool:
    """Of a metric by its name: times (`_s`, but no rates: `_per_s`), losses, errors, perplexity and bits per byte."""
    return metric in LOWER or (metric.endswith(LOWER_ENDINGS) and not metric.endswith("_per_s"))
