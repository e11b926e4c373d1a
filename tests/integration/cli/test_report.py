"""`report`: one page of what happened, from the API alone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_page_tells_what_ran_and_why_the_rest_waited(
    on_lab: Callable[..., Any], job: Callable[..., Path], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    ran = job("reported", "resources: {cpus: 0.1}", "duration: 1s")
    assert on_lab("apply", "-f", ran, "--yes", "--wait", "--timeout", "30s").exit_code == 0
    assert on_lab("apply", "-f", job("reported-waits", "resources: {cpus: 100}"), "--yes").exit_code == 0
    file = tmp_path / "page.html"

    def rows() -> dict[str, list[str]]:
        done = on_lab("report", "-o", file)
        assert (done.exit_code, done.stdout) == (0, f"{file}\n")
        cells = [
            re.sub(r"<[^>]+>", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", file.read_text())
        ]
        return {row[0]: row for row in cells if row}

    eventually(lambda: "ExceedsFleet" in rows()["reported-waits"])
    assert rows()["reported"][1] == "succeeded"
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", file.read_text())
