import runpy
from pathlib import Path

from suanli.catalog.accelerators import load

ROOT = Path(__file__).parents[3]


def test_the_reference_page_shows_the_shipped_data():
    tool = runpy.run_path(str(ROOT / "tools" / "accelerators_page.py"))
    page = (ROOT / "docs" / "reference" / "accelerators.md").read_text(encoding="utf-8")
    assert page == tool["render"](load()), "renew it with: python tools/accelerators_page.py"
