import contextlib
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.spec.quantities import (
    accelerators,
    bandwidth,
    count_range,
    duration,
    memory,
    percent,
    power,
    price,
    quantity_or_more,
)

EVERY_PARSER = (
    memory,
    bandwidth,
    power,
    duration,
    price,
    percent,
    count_range,
    quantity_or_more,
    accelerators,
)


@pytest.mark.parametrize(
    ("parse", "written", "read"),
    [
        (memory, "80GiB", 80 * 2**30),
        (memory, "2TB", 2 * 10**12),
        (memory, "0.1 GB", 10**8),
        (memory, "16gb", 16 * 10**9),
        (memory, "512KB", 512_000),
        (memory, "512Mi", 512 * 2**20),
        (memory, "9223372036854775807B", 2**63 - 1),
        (bandwidth, "400Gbps", 400e9),
        (bandwidth, "100Gbit/s", 100e9),
        (bandwidth, "10GB/s", 80e9),
        (bandwidth, "1MiB/s", 8 * 2**20),
        (power, "700W", 700.0),
        (power, "1.2kW", 1200.0),
        (duration, "15m", 900.0),
        (duration, "90s", 90.0),
        (duration, "2d", 172_800.0),
        (duration, "1h30m", 5400.0),
        (duration, "1 h 30 min", 5400.0),
        (duration, "200ms", 0.2),
        (duration, "5us", 5e-6),
        (duration, 90, 90.0),
        (duration, "90", 90.0),
        (price, "2.5/h", (2.5, "node")),
        (price, "$2.5/h", (2.5, "node")),
        (price, "3.10/h per accelerator", (3.1, "accelerator")),
        (price, "12 USD/hour per node", (12.0, "node")),
        (price, 2.5, (2.5, "node")),
        (percent, "5%", 0.05),
        (percent, "99.9%", 0.999),
        (percent, 0.05, 0.05),
        (percent, "0.05", 0.05),
        (percent, 1, 1.0),
        (count_range, 4, (4, 4)),
        (count_range, "4", (4, 4)),
        (count_range, "1..4", (1, 4)),
        (count_range, "32+", (32, None)),
        (quantity_or_more, "512GiB+", (512 * 2**30, True)),
        (quantity_or_more, "512GiB", (512 * 2**30, False)),
        (accelerators, "H100:8", (("H100", 8.0),)),
        (accelerators, "H100", (("H100", 1.0),)),
        (accelerators, "8xH100", (("H100", 8.0),)),
        (accelerators, "4 x 4090", (("4090", 4.0),)),
        (accelerators, "A100:0.5", (("A100", 0.5),)),
        (accelerators, "NVIDIA H100 80GB HBM3:2", (("NVIDIA H100 80GB HBM3", 2.0),)),
        (accelerators, ["H100:8", "A100-80GB:8"], (("H100", 8.0), ("A100-80GB", 8.0))),
        (accelerators, {"H100": 8, "T4": 0.25}, (("H100", 8.0), ("T4", 0.25))),
        (accelerators, {"H100:8": None, "A100:8": None}, (("H100", 8.0), ("A100", 8.0))),
        (accelerators, {4090: 2}, (("4090", 2.0),)),
    ],
)
def test_what_people_write_is_read(parse: Callable[[object], object], written: object, read: object):
    assert parse(written) == read


def test_an_open_quantity_can_be_of_any_kind():
    assert quantity_or_more("10Gbps+", bandwidth) == (10e9, True)


@pytest.mark.parametrize(
    ("parse", "written", "said"),
    [
        (memory, 64, "did you mean 64GiB"),
        (memory, "64", "did you mean 64GiB"),
        (memory, "64G", "did you mean 64GB or 64GiB"),
        (memory, "64GIB", "did you mean 64GiB"),
        (memory, "1e99TB", "more than any machine"),
        (bandwidth, "10gbps", "did you mean 10Gbps or 10GBps"),
        (bandwidth, "10mb/s", "did you mean 10Mb/s or 10MB/s"),
        (bandwidth, 10, "did you mean 10Gbps"),
        (power, 700, "did you mean 700W"),
        (power, "5kw", "did you mean 5kW"),
        (duration, "30m1h", "larger unit first"),
        (duration, "1h1h", "each unit once"),
        (duration, "1e99w", "hundred years"),
        (duration, "5M", "15m (minutes)"),
        (price, "€2/h", "US dollars"),
        (price, "1e9/h", "million dollars"),
        (percent, 5, "did you mean 5%"),
        (percent, "150%", "at most 100%"),
        (count_range, "4..1", "did you mean 1..4"),
        (accelerators, "H100:1.5", "whole, or a share"),
        (accelerators, "H100:0", "whole, or a share"),
        (accelerators, 245408, 'quotes, as in "4090:8"'),
        (accelerators, [], "1 to 32 alternatives"),
        (accelerators, ["T4"] * 33, "1 to 32 alternatives"),
    ],
)
def test_a_refusal_says_what_was_probably_meant(
    parse: Callable[[object], object], written: object, said: str
):
    with pytest.raises(ValueError, match=r"^expected ") as refusal:
        parse(written)
    assert said in str(refusal.value)


@pytest.mark.parametrize("parse", EVERY_PARSER, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize(
    "written",
    [
        None,
        True,
        "",
        " ",
        "+",
        "-1",
        -1,
        float("nan"),
        float("inf"),
        10**400,
        b"1",
        "1" * 65,
        "٤s",
        "(" * 64,
        "1__import__('os')s",
        "10**10**10",
        "2**99999999 GiB",
        [[]],
        {1, 2},
        {"H100": {"T4": 1}},
        {(): 1},
    ],
    ids=lambda written: repr(written)[:20],
)
def test_what_makes_no_sense_is_a_value_error(parse: Callable[[object], object], written: object):
    with pytest.raises(ValueError, match=r"^expected .+ such as .+; got "):
        parse(written)


AS_YAML_GIVES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)
NEARLY_RIGHT = st.text(alphabet="0123456789.eE+-:x%$/ GiBbpsmhdWkUSDprnoacl*()", max_size=70)


@given(written=AS_YAML_GIVES | NEARLY_RIGHT, parse=st.sampled_from(EVERY_PARSER))
def test_no_value_does_anything_but_parse_or_be_refused(written: object, parse: Callable[[object], object]):
    with contextlib.suppress(ValueError):
        parse(written)


@given(
    st.integers(0, 10**6),
    st.sampled_from([("B", 1), ("kB", 10**3), ("GB", 10**9), ("MiB", 2**20), ("TiB", 2**40)]),
)
def test_memory_reads_back_exactly(count: int, unit: tuple[str, int]):
    symbol, size = unit
    assert memory(f"{count}{symbol}") == memory(f" {count} {symbol} ") == count * size


@given(
    st.floats(1e-3, 1e3),
    st.sampled_from(
        [(bandwidth, "Gbps", 1e9), (bandwidth, "MB/s", 8e6), (power, "kW", 1e3), (duration, "h", 3600.0)]
    ),
)
def test_measures_read_back(number: float, of: tuple[Callable[[object], float], str, float]):
    parse, symbol, factor = of
    assert parse(f"{number:.6f}{symbol}") == pytest.approx(float(f"{number:.6f}") * factor)


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_compound_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, seconds: int):
    assert (
        duration(f"{days}d{hours}h{minutes}m{seconds}s")
        == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    )


@given(st.integers(0, 999_999), st.integers(0, 999_999))
def test_ranges_read_back(one: int, other: int):
    fewest, most = sorted((one, other))
    assert count_range(f"{fewest}..{most}") == (fewest, most)
    assert count_range(f"{fewest}+") == (fewest, None)


@given(
    st.lists(
        st.tuples(st.sampled_from(["H100", "A100-80GB", "TPU-v5e", "4090"]), st.integers(1, 9999)),
        min_size=1,
        max_size=9,
    )
)
def test_accelerators_read_back_in_either_spelling(wanted: list[tuple[str, int]]):
    expected = tuple((name, float(count)) for name, count in wanted)
    assert accelerators([f"{name}:{count}" for name, count in wanted]) == expected
    assert accelerators([f"{count}x{name}" for name, count in wanted]) == expected


@pytest.mark.speed
def test_ten_thousand_quantities_take_less_than_300_ms():
    assert min(_seconds_for_ten_thousand() for _ in range(3)) < 0.3


def _seconds_for_ten_thousand() -> float:
    started = time.perf_counter()
    for number in range(1, 2501):
        memory(f"{number}GiB")
        duration(f"{number}h30m")
        bandwidth(f"{number}Gbps")
        accelerators(f"H100:{number}")
    return time.perf_counter() - started


def test_pint_is_imported_only_when_a_unit_is_converted():
    code = "import sys; from suanli.spec.quantities import count_range as c; c('1..4'); sys.exit('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
