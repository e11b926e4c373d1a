"""How large batches are, which items they hold, and that nobody's result is lost or another's."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.serving.runtime.batching import Batcher, Busy, Limits, Pace, WrongCount, choose, units_max

sizes = st.lists(st.integers(1, 64), min_size=5, max_size=60)


@given(sizes, st.floats(0.001, 0.1), st.floats(0.0001, 0.01))
def test_the_line_through_what_was_measured_is_found(sizes: list[int], fixed_s: float, unit_s: float) -> None:
    pace = Pace()
    for size in sizes:
        pace = pace.observed(size, fixed_s + unit_s * size)
    for size in sizes:
        assert pace.seconds(size) == pytest.approx(fixed_s + unit_s * size, rel=0.05)


def test_a_batch_is_as_large_as_the_bound_allows_with_another_one_before_it() -> None:
    pace = Pace()
    for size in [1, 4, 16, 8, 2] * 20:
        pace = pace.observed(size, 0.010 + 0.002 * size)
    limits = Limits(wait_s=0.005, latency_max_s=0.105)
    most = units_max(pace, limits)
    assert most == pytest.approx((0.100 / 2 / pace.spread - 0.010) / 0.002, rel=0.01)
    assert limits.wait_s + 2 * pace.spread * pace.seconds(most) == pytest.approx(0.105, rel=0.01)
    assert units_max(pace, Limits(latency_max_s=None)) == float("inf")
    assert units_max(pace, Limits(latency_max_s=0.001)) == 0


def test_measurements_that_scatter_make_batches_smaller() -> None:
    steady, scattered = Pace(), Pace()
    for number in range(200):
        steady = steady.observed(8, 0.010)
        scattered = scattered.observed(8, 0.008 if number % 10 else 0.028)
    limits = Limits(latency_max_s=0.1)
    assert units_max(scattered, limits) < 0.7 * units_max(steady, limits)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50), st.integers(1, 5000), st.integers(1, 20))
def test_a_batch_holds_the_oldest_and_keeps_its_bounds(lengths: list[int], most: int, batch_max: int) -> None:
    chosen = choose(lengths, most, batch_max)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= batch_max
    if len(chosen) > 1:
        longest = max(lengths[at] for at in chosen)
        assert longest * len(chosen) <= most
        assert sum(lengths[at] for at in chosen) >= longest * len(chosen) / 2


def test_texts_of_like_length_go_together_and_equal_ones_by_age() -> None:
    assert choose([10, 900, 11, 1000, 9], float("inf"), 3) == [0, 2, 4]
    assert choose([1.0] * 9, float("inf"), 4) == [0, 1, 2, 3]


def run(scene: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scene, 100))


def test_requests_that_come_together_are_answered_in_one_batch_each_with_its_own() -> None:
    batches = list[list[int]]()

    async def double(items: list[int]) -> list[int]:
        batches.append(items)
        await asyncio.sleep(0.01)
        return [2 * item for item in items]

    async def scene() -> list[list[int]]:
        batcher = Batcher(double, Limits(batch_max=8))
        answers = await asyncio.gather(*(batcher.submit([number, number + 100]) for number in range(10)))
        await batcher.close()
        return answers

    assert run(scene()) == [[2 * number, 2 * number + 200] for number in range(10)]
    assert sum(map(len, batches)) == 20
    assert len(batches) <= 5


def test_a_client_that_asks_one_after_the_other_never_waits_for_company() -> None:
    async def scene() -> float:
        async def same(items: list[int]) -> list[int]:
            return items

        batcher = Batcher(same, Limits(wait_s=60.0))
        started_s = time.monotonic()
        for _ in range(50):
            await batcher.submit([1])
        await batcher.close()
        return time.monotonic() - started_s

    assert run(scene()) < 60


def test_where_requests_meet_a_batch_waits_for_more() -> None:
    sizes = list[int]()

    async def scene() -> None:
        async def work(items: list[int]) -> list[int]:
            sizes.append(len(items))
            await asyncio.sleep(0.001)
            return items

        batcher = Batcher(work, Limits(wait_s=0.02, batch_max=8), clock=asyncio.get_running_loop().time)

        async def client(number: int) -> None:
            for _ in range(20):
                await batcher.submit([number])
                await asyncio.sleep(0.0001 * number)

        await asyncio.gather(*(client(number) for number in range(8)))
        await batcher.close()

    virtually(scene())
    assert len([size for size in sizes if size == 8]) > len(sizes) / 2


def test_a_request_that_fails_fails_no_other() -> None:
    async def halve(items: list[int]) -> list[int]:
        await asyncio.sleep(0.01)
        if any(item % 2 for item in items):
            raise ValueError("odd")
        return [item // 2 for item in items]

    async def scene() -> list[Any]:
        batcher = Batcher(halve, Limits(batch_max=8))
        answers = await asyncio.gather(
            *(batcher.submit([number]) for number in range(6)), return_exceptions=True
        )
        await batcher.close()
        return answers

    answers = run(scene())
    assert answers[::2] == [[0], [1], [2]]
    assert [str(error) for error in answers[1::2]] == ["odd"] * 3


def test_a_model_that_gives_too_few_results_is_told_so() -> None:
    async def none(items: list[int]) -> list[int]:
        return []

    async def scene() -> None:
        batcher = Batcher(none, Limits())
        with pytest.raises(WrongCount, match="0 results for 2 inputs"):
            await batcher.submit([1, 2])
        await batcher.close()

    run(scene())


def test_a_full_queue_refuses_and_one_that_leaves_makes_room() -> None:
    async def scene() -> list[int]:
        go, begun, seen = asyncio.Event(), asyncio.Event(), list[int]()

        async def wait(items: list[int]) -> list[int]:
            begun.set()
            await go.wait()
            seen.extend(items)
            return items

        batcher = Batcher(wait, Limits(batch_max=1, queue_max=2))
        first = asyncio.create_task(batcher.submit([1]))
        await begun.wait()
        second, third = (asyncio.create_task(batcher.submit([number])) for number in (2, 3))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await batcher.submit([4])
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        fourth = asyncio.create_task(batcher.submit([5]))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, third, fourth)
        await batcher.close()
        return seen

    assert run(scene()) == [1, 3, 5], "what was withdrawn is not worked on"


@pytest.mark.parametrize("unit_s", [0.002, 0.008])
def test_under_load_the_bound_holds_at_the_95th_percentile_whatever_the_model_takes(unit_s: float) -> None:
    """Timed in virtual seconds: the loop's clock jumps to whatever is awaited next."""
    latencies = list[float]()

    async def scene() -> int:
        largest = 0

        async def work(items: list[int]) -> list[int]:
            nonlocal largest
            largest = max(largest, len(items))
            await asyncio.sleep(0.004 + unit_s * len(items))
            return items

        loop = asyncio.get_running_loop()
        batcher = Batcher(work, Limits(batch_max=64, latency_max_s=0.2), clock=loop.time)

        async def one(after_s: float) -> None:
            await asyncio.sleep(after_s)
            started_s = loop.time()
            await batcher.submit([0])
            latencies.append(loop.time() - started_s)

        gap_s = unit_s * 1.25  # 80 % of what the model can take
        await asyncio.gather(*(one(number * gap_s) for number in range(3000)))
        await batcher.close()
        return largest

    largest = virtually(scene())
    late = sorted(latencies)
    assert late[int(0.95 * len(late))] <= 0.2
    assert largest > 1


def virtually(scene: Any) -> Any:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(scene)
    finally:
        loop.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time passes only by what is waited for."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # pyright: ignore[reportAttributeAccessIssue]
            self.now_s = max(self.now_s, self._scheduled[0].when())  # pyright: ignore[reportAttributeAccessIssue]
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue]
