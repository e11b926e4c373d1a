"""What gateways' files say of keys is taken over once an hour, counted once, and then the files may go."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from suanli.control.usage import AGAIN_S, FILES_KEPT_HOURS, SETTLE_S, Hourly, collect_usage, usage_of
from suanli.domain.errors import Unavailable
from suanli.ports.memory_store import MemoryStore
from suanli.serving.admission.usage import HOUR_S, Counted, Hour, hours_in, path_of

HOUR = 500_000
BEGINS_S = HOUR * HOUR_S


def tell(folder: Path, hour: int, requests: int, seq: int) -> None:
    path = path_of(folder, hour)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = Counted(key="ci", team="red", service="chat", requests=requests)
    path.write_bytes(msgspec.json.encode(Hour(number=hour, seq=seq, rows=(row,))))


def requests_in(store: Any) -> dict[int, int]:
    told = usage_of(store, since_s=0.0, until_s=2 * BEGINS_S, period_s=HOUR_S)
    return {int(each.from_s // HOUR_S): each.requests for each in told}


def test_an_hour_is_taken_over_once_its_file_is_final_whether_anybody_asks_or_not(tmp_path: Path) -> None:
    store = MemoryStore()
    hourly = Hourly(store, tmp_path)
    hourly.look(BEGINS_S + SETTLE_S)
    tell(tmp_path, HOUR, 7, seq=1)
    hourly.look(BEGINS_S + HOUR_S + SETTLE_S / 2)
    assert requests_in(store) == {}
    hourly.look(BEGINS_S + HOUR_S + SETTLE_S)
    assert requests_in(store) == {HOUR: 7}


def test_the_next_controller_begins_with_what_was_left_and_counts_nothing_twice(tmp_path: Path) -> None:
    store = MemoryStore()
    for hour in range(3):
        tell(tmp_path, HOUR + hour, 5, seq=hour + 1)
        Hourly(store, tmp_path).look(BEGINS_S + (hour + 1) * HOUR_S + SETTLE_S)
    Hourly(store, tmp_path).look(BEGINS_S + 4 * HOUR_S)
    assert requests_in(store) == {HOUR: 5, HOUR + 1: 5, HOUR + 2: 5}


@pytest.mark.parametrize("dies_after", range(1, 8))
def test_whoever_dies_at_whatever_write_leaves_every_hour_counted_once(
    tmp_path: Path, dies_after: int
) -> None:
    """And no file is gone that the store does not have."""

    class Dying(MemoryStore):
        left = dies_after

        def save_document(self, kind: str, name: str, body: bytes, at_s: float) -> None:
            self.left -= 1
            if self.left == 0:
                raise Killed
            super().save_document(kind, name, body, at_s)

    class Killed(Exception):
        pass

    store = Dying()
    later_s = BEGINS_S + (FILES_KEPT_HOURS + 5) * HOUR_S
    for hour in range(4):
        tell(tmp_path, HOUR + hour, hour + 1, seq=hour + 1)
    for _ in range(3):
        try:
            Hourly(store, tmp_path).look(later_s)
        except Killed:
            left = set(hours_in(tmp_path))
            assert {HOUR, HOUR + 1, HOUR + 2, HOUR + 3} <= left | requests_in(store).keys()
    assert requests_in(store) == {HOUR + hour: hour + 1 for hour in range(4)}
    assert hours_in(tmp_path) == ()


def test_files_stay_for_a_day_and_while_they_say_more_than_the_store(tmp_path: Path) -> None:
    store = MemoryStore()
    tell(tmp_path, HOUR, 1, seq=1)
    Hourly(store, tmp_path).look(BEGINS_S + FILES_KEPT_HOURS * HOUR_S)
    assert hours_in(tmp_path) == (HOUR,)
    path_of(tmp_path, HOUR + 1).write_text("nothing of ours")
    Hourly(store, tmp_path).look(BEGINS_S + 3 * FILES_KEPT_HOURS * HOUR_S)
    assert hours_in(tmp_path) == (HOUR + 1,)
    assert requests_in(store) == {HOUR: 1}


def test_a_gateway_that_writes_a_dropped_hour_anew_from_its_journal_changes_nothing(tmp_path: Path) -> None:
    store, later_s = MemoryStore(), BEGINS_S + 2 * FILES_KEPT_HOURS * HOUR_S
    for _ in range(2):
        tell(tmp_path, HOUR, 3, seq=9)
        Hourly(store, tmp_path).look(later_s)
        assert (requests_in(store), hours_in(tmp_path)) == ({HOUR: 3}, ())


def test_a_store_that_is_away_is_tried_again_after_a_while(tmp_path: Path) -> None:
    class Away(MemoryStore):
        is_away = True

        def document(self, kind: str, name: str) -> bytes | None:
            if self.is_away:
                raise Unavailable("The store cannot be reached.")
            return super().document(kind, name)

    store = Away()
    hourly = Hourly(store, tmp_path)
    tell(tmp_path, HOUR, 2, seq=1)
    now_s = BEGINS_S + HOUR_S + SETTLE_S
    hourly.look(now_s)
    store.is_away = False
    hourly.look(now_s + AGAIN_S / 2)
    assert requests_in(store) == {}
    hourly.look(now_s + AGAIN_S)
    assert requests_in(store) == {HOUR: 2}


def test_what_was_asked_for_within_the_hour_is_taken_over_again_at_its_end(tmp_path: Path) -> None:
    store = MemoryStore()
    hourly = Hourly(store, tmp_path)
    hourly.look(BEGINS_S + SETTLE_S)
    tell(tmp_path, HOUR, 2, seq=1)
    assert collect_usage(store, tmp_path, "local", BEGINS_S + 60.0) == 1
    tell(tmp_path, HOUR, 6, seq=4)
    hourly.look(BEGINS_S + HOUR_S + SETTLE_S)
    assert requests_in(store) == {HOUR: 6}
