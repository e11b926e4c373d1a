"""The end of the tour: an answer from the service, the summary, the page, and what to try next."""

import http.client
import json
import re
import shlex
import shutil
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from suanli.cli.account import SUMMARY_HEAD, Account, collect, facts, page_data, points, summary
from suanli.cli.client import Client, path_of
from suanli.cli.files import typed
from suanli.cli.logs import written
from suanli.cli.render import Table
from suanli.cli.tour.screen import Screen
from suanli.cli.tour.story import CHAT, DIGITS, GPT, TourFailed
from suanli.domain import events as ev
from suanli.domain.workload import EndCause

ASKED = {"prompt": "def main(", "max_tokens": 40, "temperature": 0.7}
ANSWER_S = 60.0
LOSS = "val_bits_per_byte"
METRICS = ("loss", LOSS)


def ask(client: Client, screen: Screen) -> None:
    """One request to the service, as anybody would send it. Raises TourFailed."""
    url = client.get(path_of("workloads", CHAT))["workloads"][0]["url"] or ""
    body = json.dumps(ASKED)
    screen.say(f"\n$ curl -d {shlex.quote(body)} {url}/generate")
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read().decode("utf-8", "replace")
    except OSError as error:
        raise TourFailed(f"The service at {url} did not answer: {error}.") from error
    finally:
        connection.close()
    if response.status != 200:
        raise TourFailed(f"The service at {url} answered {response.status}: {answer[:200]}")
    screen.say(answer.strip())


def sum_up(client: Client, home: Path, screen: Screen) -> None:
    """Say what happened, and write the page."""
    from suanli.reports.page import write

    account = collect(client, time.time())
    screen.say("\n" + Table(SUMMARY_HEAD, summary(account)).plain())
    more = (*_load(client, account), *_preemption(client, account), *_learning(client))
    for sentence in (*facts(account), *more):
        screen.say(f"  {sentence}")
    page = write(home / "tour.html", page_data(account, client, "The tour of Suanli", METRICS, more))
    screen.say(f"\nThe same with charts, offline: {page}")


def what_next(home: Path, serving: bool) -> Iterator[str]:
    """Commands that work as they stand."""
    suanli = command_name()
    yield "To look around, in another terminal:" if serving else "Its state is kept; to look around:"
    yield f"  export SUANLI_HOME={shlex.quote(str(home))}"
    if not serving:
        yield f"  {suanli} up --detach"
    yield f"  {suanli} explain too-big -v          # why it waits, and what would make it run"
    yield f"  {suanli} logs {GPT} --tail 5           # what a worker wrote"
    yield f"  {suanli} services                    # what serves, how it is asked, whether it keeps its SLO"
    yield f"  {suanli} stop chat                   # and `retry chat` starts it again"
    yield f"  {suanli} events                      # all that was asked, decided and seen"
    if not serving:
        yield f"  {suanli} down"


def command_name() -> str:
    """`suanli` as this shell finds it."""
    here = Path(sys.executable).parent / "suanli"
    found = shutil.which("suanli")
    if found and Path(found).resolve() == here.resolve():
        return "suanli"
    return typed(here)


def _load(client: Client, account: Account) -> Iterator[str]:
    for node in account.nodes:
        load = [value for _, value in points(client, node["name"], "cpu_fraction", account.since_s)]
        if load:
            yield f"CPU of {node['name']}: {sum(load) / len(load):.0%} in use on average"


def _preemption(client: Client, account: Account) -> Iterator[str]:
    """For whom the GPT was told to stop, what it had saved by then, and where it went on."""
    of_gpt = [entry for entry in account.entries if getattr(entry.event, "key", "") == GPT]
    for i, entry in enumerate(of_gpt):
        stopped = entry.event
        if not isinstance(stopped, ev.StopBegun) or stopped.cause is not EndCause.PREEMPTED:
            continue
        saved = [
            e.event
            for e in of_gpt
            if isinstance(e.event, ev.Checkpointed) and e.event.number == stopped.number
        ]
        again = next((e for e in of_gpt[i:] if isinstance(e.event, ev.Started)), None)
        resumed = re.search(r"^step (\d+)/", _log(client, stopped.number + 1), re.MULTILINE)
        if saved and again and resumed:
            yield (
                f"{GPT} made room for {stopped.stopped_for or DIGITS}: saved step {saved[-1].step}, was away for "
                f"{again.at_s - entry.at_s:.0f} s, and went on from step {resumed[1]}"
            )


def _learning(client: Client) -> Iterator[str]:
    attempts = client.get(path_of("workloads", GPT))["workloads"][0]["attempts_made"]
    text = "".join(_log(client, number) for number in range(1, attempts + 1))
    figures = [float(figure) for figure in re.findall(rf"{LOSS} ([0-9.]+)", text)]
    if figures:
        yield f"held-out loss of the {GPT.upper()}: {figures[0]:.2f} before, {figures[-1]:.2f} bits per byte after"


def _log(client: Client, attempt: int) -> str:
    """The program's own words, which are exact where what was measured is thinned out with age."""
    return "".join(written(client, GPT, attempt))
