"""Waiting for workloads, with a line on stderr for each change."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from suanli.cli.client import Client, path_of
from suanli.cli.errors import TimedOut
from suanli.cli.session import Session
from suanli.cli.views import is_final, is_settled, standing
from suanli.domain.errors import SuanliError

EVERY_S = 0.5


class WorkloadFailed(SuanliError):
    """A workload that was waited for did not succeed."""

    code = "SL-WORKLOAD-FAILED"


def wait_for(session: Session, client: Client, names: Sequence[str]) -> None:
    """Until every job has ended and every service answers. Raises WorkloadFailed, TimedOut."""
    ends_s = time.monotonic() + (session.timeout_s or float("inf"))
    said: dict[str, str] = {}
    while True:
        views = [view for name in names for view in client.get(path_of("workloads", name))["workloads"]]
        for view in views:
            if said.get(view["key"]) != standing(view):
                said[view["key"]] = standing(view)
                session.note(f"{view['key']}: {standing(view)}")
        if all(is_settled(view) for view in views):
            _require_success(views)
            return
        if time.monotonic() > ends_s:
            raise TimedOut(
                f"Waited {session.timeout_s:g} s; {', '.join(v['key'] for v in views if not is_settled(v))} goes on.",
                remedy="`suanli ps --watch` shows it; nothing was stopped.",
            )
        time.sleep(EVERY_S)


def _require_success(views: Sequence[Mapping[str, Any]]) -> None:
    failed = [view for view in views if is_final(view) and view["status"] != "succeeded"]
    if failed:
        raise WorkloadFailed(
            f"{', '.join(view['key'] for view in failed)} did not succeed.",
            remedy=f"`suanli explain {failed[0]['key']}` and `suanli logs {failed[0]['key']}` say more.",
            evidence={view["key"]: standing(view) for view in failed},
        )
