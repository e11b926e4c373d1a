"""The offline page."""

import re
from pathlib import Path

from suanli.reports.page import Curve, PageData, write
from suanli.reports.timeline import RunSpan, WaitSpan


def _page(tmp_path: Path, key: str) -> str:
    run = RunSpan(
        key=key, number=1, nodes=("n0",), placed_s=1.0, started_s=2.0, to_s=9.0, outcome="failed", detail=key
    )
    data = PageData(
        title=f"Tour {key}",
        facts=(key,),
        summary_head=("workload",),
        summary=((key,),),
        runs=(run,),
        waits=(WaitSpan(key=key, token="ResourcesBusy", from_s=0.0, to_s=1.0),),
        load=(Curve(name=key, points=((1.0, 0.5),)),),
        progress=(),
    )
    return write(tmp_path / "deep" / "page.html", data).read_text()


def test_the_page_loads_nothing_from_anywhere(tmp_path: Path) -> None:
    text = _page(tmp_path, "gpt")
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    assert "What ran when" in text


def test_names_from_users_are_shown_and_never_executed(tmp_path: Path) -> None:
    text = _page(tmp_path, "<img src=x onerror=alert(1)>")
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text
