import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.catalog.accelerators import Accelerator, catalog_of, load
from suanli.domain.errors import SpecError

CATALOG = load()
EVERY_NAME = sorted({name for entry in CATALOG.entries for name in (entry.name, *entry.aliases)})


@pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.name)
class TestEveryEntry:
    def test_says_where_its_facts_come_from(self, entry: Accelerator):
        assert entry.vendor
        assert len(entry.source) > 10
        assert 2014 <= (entry.year or 0) <= 2026

    def test_has_plausible_figures(self, entry: Accelerator):
        assert 8 * 2**30 <= entry.memory_bytes <= 512 * 2**30
        assert 100e9 <= (entry.memory_bandwidth_bytes_per_s or 0) <= 10e12
        assert entry.flops
        assert all(1e12 <= flops <= 10e15 for flops in entry.flops.values())

    def test_computes_no_slower_in_a_narrower_type(self, entry: Accelerator):
        by_width = [entry.flops[p] for p in ("fp32", "tf32", "bf16", "fp8") if p in entry.flops]
        assert by_width == sorted(by_width)

    def test_has_a_tdp_or_says_why_not(self, entry: Accelerator):
        if entry.tdp_w is None:
            assert "no TDP" in entry.note
        else:
            assert 50 <= entry.tdp_w <= 1500

    def test_has_a_dated_price_or_says_why_not(self, entry: Accelerator):
        assert len(entry.price_source) > 5
        if entry.price_per_hour_usd is None:
            assert not entry.price_date
        else:
            assert 0.1 <= entry.price_per_hour_usd <= 25
            assert re.fullmatch(r"20\d\d(-\d\d|-Q\d)?", entry.price_date)


def test_the_catalogue_covers_the_field():
    assert len(CATALOG.entries) >= 24
    assert {entry.vendor for entry in CATALOG.entries} == {
        "NVIDIA",
        "AMD",
        "Google",
        "Huawei",
        "Intel",
        "AWS",
    }
    assert {entry.kind for entry in CATALOG.entries} == {"gpu", "tpu", "npu"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        # as people type them
        ("h100", "H100"),
        ("H100-SXM", "H100"),
        ("a100", "A100-40GB"),
        ("a100-80g", "A100-80GB"),
        ("A100_80GB", "A100-80GB"),
        ("V100", "V100-16GB"),
        ("v100 32gb", "V100-32GB"),
        ("tesla-t4", "T4"),
        ("rtx 4090", "RTX4090"),
        ("3090", "RTX3090"),
        ("2080 ti", "RTX2080Ti"),
        ("RTX-6000", "RTX6000"),
        ("gaudi 2", "Gaudi2"),
        ("910b", "Ascend-910B"),
        ("tpu v5e", "TPU-v5e"),
        # as NVML prints them
        ("Tesla V100-SXM2-16GB", "V100-16GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"),
        ("NVIDIA L40S", "L40S"),
        # as Kubernetes labels them
        ("nvidia-h100-80gb-hbm3", "H100"),
        ("nvidia-tesla-p100", "P100"),
        ("tpu-v5-lite-podslice", "TPU-v5e"),
        # as Ray names them
        ("A100-40G", "A100-40GB"),
        ("AMD-Instinct-MI300X-OAM", "MI300X"),
        ("TPU-V6E", "TPU-v6e"),
        ("Ascend910B", "Ascend-910B"),
        # as SkyPilot lists them
        ("tpu-v5litepod", "TPU-v5e"),
        ("RTXA6000", "A6000"),
        ("RTX6000-Ada", "RTX6000-Ada"),
    ],
)
def test_an_accelerator_is_found_by_the_names_in_use(typed: str, meant: str):
    found = CATALOG.lookup(typed)
    assert found is not None
    assert found.name == meant


@given(name=st.sampled_from(EVERY_NAME), data=st.data())
def test_case_and_separators_never_matter(name: str, data: st.DataObject):
    bare = re.sub(r"[\s_-]", "", name)
    separators = st.text(alphabet=" -_", max_size=2)
    spelled = "".join(
        data.draw(separators) + data.draw(st.sampled_from([letter.lower(), letter.upper()]))
        for letter in bare
    )
    assert CATALOG.lookup(spelled) is CATALOG.lookup(name)


@given(st.text())
def test_any_text_can_be_looked_up_and_gets_suggestions_from_the_catalogue(name: str):
    CATALOG.lookup(name)
    assert set(CATALOG.suggest(name)) <= {entry.name for entry in CATALOG.entries}


def test_a_name_that_is_not_there_is_not_found():
    assert CATALOG.lookup("H1000") is None
    assert CATALOG.lookup("") is None


@pytest.mark.parametrize(
    ("typed", "likely"),
    [
        ("H1000", "H100"),
        ("A100-96GB", "A100-80GB"),
        ("MI300", "MI300X"),
        ("Gaudi", "Gaudi3"),
        ("tpu-v5", "TPU-v5e"),
    ],
)
def test_a_near_miss_is_answered_with_what_was_likely_meant(typed: str, likely: str):
    assert likely in CATALOG.suggest(typed)


def test_nothing_is_suggested_for_nonsense_however_long():
    assert CATALOG.suggest("!" * 1_000_000) == ()


def test_users_add_their_own_accelerators():
    own = Accelerator(name="Moore-S4000", aliases=("S4000",), memory_bytes=48 * 2**30)
    catalog = CATALOG.with_user([own])
    assert catalog.lookup("moore s4000") is own
    assert catalog.lookup("S4000") is own
    assert len(catalog.entries) == len(CATALOG.entries) + 1
    assert CATALOG.lookup("S4000") is None


def test_a_users_entry_of_a_shipped_name_replaces_it_and_keeps_its_aliases():
    own = Accelerator(name="h100", memory_bytes=80 * 2**30, price_per_hour_usd=1.5, aliases=("our-h100",))
    catalog = CATALOG.with_user([own])
    for name in ("H100", "our-h100", "NVIDIA H100 80GB HBM3"):
        found = catalog.lookup(name)
        assert found is not None
        assert found.price_per_hour_usd == 1.5
    assert len(catalog.entries) == len(CATALOG.entries)


@pytest.mark.parametrize(
    "own",
    [
        Accelerator(name="A100", memory_bytes=1),
        Accelerator(name="Mine", aliases=("tesla_t4",), memory_bytes=1),
    ],
    ids=["name", "alias"],
)
def test_a_users_entry_may_not_take_over_the_name_of_another(own: Accelerator):
    with pytest.raises(SpecError, match=r"already means (A100-40GB|T4)") as refusal:
        CATALOG.with_user([own])
    assert refusal.value.remedy
    assert refusal.value.evidence["declared_by"] == own.name


def test_two_entries_of_one_name_are_refused():
    twice = (Accelerator(name="X1", memory_bytes=1), Accelerator(name="x-1", memory_bytes=2))
    with pytest.raises(SpecError, match="already means X1"):
        catalog_of(twice)


@pytest.mark.speed
def test_loading_takes_less_than_10_ms_and_happens_once():
    assert load() is CATALOG
    assert min(_seconds_to_load() for _ in range(5)) < 0.010


def _seconds_to_load() -> float:
    started = time.perf_counter()
    load.__wrapped__()
    return time.perf_counter() - started
