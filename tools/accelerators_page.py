"""Write docs/reference/accelerators.md from the catalogue's data; a test holds the two together."""

from pathlib import Path

from suanli.catalog.accelerators import Accelerator, Catalog, Precision, load

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "accelerators.md"

INTRODUCTION = """\
# Accelerators

<!-- Written by `python tools/accelerators_page.py` from src/suanli/catalog/accelerators.json; don't edit by hand. -->

Ask for an accelerator by its name or any of its aliases: `accelerators: A100-80GB:8`. Case, spaces, underscores and
hyphens don't matter, so the names that drivers, SkyPilot, Ray and Kubernetes print can be pasted as they are. As in
SkyPilot, `A100` alone means `A100-40GB` and `V100` means `V100-16GB`.

- **Throughput** is the vendor's peak for dense arithmetic in 10¹² operations per second; `–` where the hardware lacks
  the precision or the source doesn't state it. Real programs reach a part of it.
- **Memory** is in GiB, **bandwidth** in 10⁹ bytes per second, **power** the TDP of one accelerator.
- **Prices** are list prices on demand, for one accelerator with its share of the machine, as they stood at the date
  given. They come from unlike sellers and are a starting point: declare what you pay in your fleet, and that counts.
"""


def render(catalog: Catalog) -> str:
    """The reference page, in Markdown."""
    details = (line for entry in catalog.entries for line in (*_detail(entry), ""))
    return "\n".join([INTRODUCTION, *_figures(catalog), "", "## Names, prices and sources", "", *details])


def _figures(catalog: Catalog) -> list[str]:
    precisions: tuple[Precision, ...] = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")
    head = ["Name", "Vendor", "Year", "Memory", "Bandwidth", *precisions, "Power, W", "$ per hour"]
    rows = [
        [
            f"`{entry.name}`",
            entry.vendor,
            _figure(entry.year),
            _figure(entry.memory_bytes / 2**30),
            _figure((entry.memory_bandwidth_bytes_per_s or 0) / 1e9),
            *(_figure(entry.flops[p] / 1e12 if p in entry.flops else None) for p in precisions),
            _figure(entry.tdp_w),
            _figure(entry.price_per_hour_usd),
        ]
        for entry in catalog.entries
    ]
    rule = ["---", "---", *("---:" for _ in head[2:])]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def _detail(entry: Accelerator) -> list[str]:
    aliases = ", ".join(f"`{alias}`" for alias in entry.aliases)
    price = f"{entry.price_source}, {entry.price_date}" if entry.price_date else entry.price_source
    lines = [f"**{entry.name}**: {aliases}", f"- Figures: {entry.source}", f"- Price: {price}"]
    return [*lines, f"- {entry.note}"] if entry.note else lines


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


if __name__ == "__main__":
    PAGE.write_text(render(load()), encoding="utf-8")
