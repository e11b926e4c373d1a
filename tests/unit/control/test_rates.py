"""What services were asked is kept by bins of time, across restarts, and foretells what comes."""

from pathlib import Path

import msgspec
import pytest

from suanli.control.rates import KNOWN_MIN_S, Rates
from suanli.control.scaling import Scalers
from suanli.domain.service import Phase, Revision, ServiceRecord
from suanli.domain.traffic import Demand
from suanli.domain.workload import Kind, Scaling, Service, Workload
from suanli.policies.autoscale.forecast import BIN_S, BINS_A_DAY, Past, bins_kept

BIN = 1_000_000
BEGAN_S = BIN * BIN_S
KNOWN = Demand(known=True)


def chat(forecast: str = "daily") -> ServiceRecord:
    scaling = Scaling(metric="rps", target=10.0, forecast=forecast)
    declared = Service(replicas_max=50, scaling=scaling)
    workload = Workload(name="chat", kind=Kind.SERVE, run=("serve",), service=declared)
    revision = Revision(number=1, workload=workload, made_s=0.0, actor="test")
    return ServiceRecord(name="chat", revisions=(revision,), target=1, settled=1, phase=Phase.STEADY)


def listen(rates: Rates, from_s: float, until_s: float, per_s: float, arrived: int = 0) -> int:
    """Every second; how many have come in the end."""
    for second in range(int(until_s - from_s)):
        arrived += round(per_s)
        rates.foretold(chat(), KNOWN, arrived, 2.0, from_s + second)
    return arrived


def kept(folder: Path) -> Past:
    return msgspec.json.decode((folder / "chat.json").read_bytes(), type=Past)


def test_a_bin_is_written_as_it_ends_and_the_next_controller_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "rates"
    arrived = listen(Rates(folder), BEGAN_S, BEGAN_S + BIN_S + 1, 20.0)
    assert kept(folder) == Past(first=BIN, rates=(20.0,))
    assert arrived > 0
    listen(Rates(folder), BEGAN_S + BIN_S + 10, BEGAN_S + 2 * BIN_S + 1, 40.0)
    assert kept(folder) == Past(first=BIN, rates=(20.0, 40.0))


def test_of_time_in_which_nothing_was_heard_nothing_is_known(tmp_path: Path) -> None:
    rates = Rates(tmp_path)
    arrived = listen(rates, BEGAN_S, BEGAN_S + BIN_S + KNOWN_MIN_S - 10, 20.0)
    for second in range(int(BIN_S)):
        rates.foretold(chat(), Demand(), arrived, 2.0, BEGAN_S + BIN_S + KNOWN_MIN_S - 10 + second)
    listen(rates, BEGAN_S + 2 * BIN_S + KNOWN_MIN_S - 10, BEGAN_S + 3 * BIN_S + 1, 30.0, arrived)
    assert kept(tmp_path) == Past(first=BIN, rates=(20.0, None, 30.0))


def test_requests_that_came_while_nothing_was_heard_are_not_taken_for_a_burst(tmp_path: Path) -> None:
    rates = Rates(tmp_path)
    arrived = listen(rates, BEGAN_S, BEGAN_S + 200, 10.0)
    listen(rates, BEGAN_S + 260, BEGAN_S + BIN_S + 1, 10.0, arrived + 100_000)
    assert kept(tmp_path).rates == (10.0,)


@pytest.mark.parametrize("content", [b"", b"{", b'{"first":"x"}', b"\xff"])
def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chat.json").write_bytes(content)
    listen(Rates(tmp_path), BEGAN_S, BEGAN_S + BIN_S + 1, 20.0)
    assert kept(tmp_path).rates == (20.0,)


def test_a_service_without_a_forecast_leaves_no_file(tmp_path: Path) -> None:
    rates = Rates(tmp_path)
    for second in range(700):
        assert rates.foretold(chat("off"), KNOWN, second, 2.0, BEGAN_S + second) is None
    assert list(tmp_path.iterdir()) == []


def test_replicas_are_wanted_for_what_the_last_days_had_at_this_time(tmp_path: Path) -> None:
    """Noon asks ten times as much; it is a minute before."""
    number = BIN - BIN % BINS_A_DAY + BINS_A_DAY // 2
    first = number - 4 * BINS_A_DAY
    rates = tuple(
        100.0 if each % BINS_A_DAY >= BINS_A_DAY // 2 else 10.0 for each in range(first, number - 1)
    )
    (tmp_path / "chat.json").write_bytes(msgspec.json.encode(Past(first=first, rates=rates)))
    scalers = Scalers(tmp_path)
    demand = msgspec.structs.replace(KNOWN, arrivals=((60.0, 600),))
    wish = scalers.wish(chat(), (), demand, 0, {}, number * BIN_S - 60.0)
    assert wish is not None
    assert (wish.now, wish.why) == (10, "100 requests/s are foretold, 10 a replica")
    assert scalers.said("chat").forecast.startswith("100 requests/s are foretold; it was off by 0 requests/s")


def test_a_file_holds_no_more_than_forecasts_look_at(tmp_path: Path) -> None:
    most = bins_kept("daily")
    past = Past(first=BIN - 5000, rates=(1.0,) * 5000)
    (tmp_path / "chat.json").write_bytes(msgspec.json.encode(past))
    listen(Rates(tmp_path), BEGAN_S, BEGAN_S + BIN_S + 1, 20.0)
    assert len(kept(tmp_path).rates) == most
    assert kept(tmp_path).rates[-1] == 20.0
