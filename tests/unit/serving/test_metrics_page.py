"""What gateways and runtimes tell is on the page for it."""

from pathlib import Path

from suanli.serving.reference import reference

PAGE = Path(__file__).parents[3] / "docs/reference/serving-metrics.md"


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "renew it: python -c 'from suanli.serving.reference import reference; print(reference(), end=\"\")' "
        "> docs/reference/serving-metrics.md"
    )
