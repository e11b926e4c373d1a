"""What every store promises of its lease: one writer at a time, and a deposed one writes nothing."""

import pytest
from tests.contract.commits import commit, submitted

from suanli.domain.decision import Decision
from suanli.domain.errors import Deposed
from suanli.domain.world import World
from suanli.ports.store import Store


def test_the_first_to_ask_gets_the_lease_and_others_wait_until_it_runs_out(store: Store):
    assert store.lease() is None
    first = store.acquire_lease("a", now_s=100.0, ttl_s=10.0)
    assert first is not None
    assert (first.holder, first.epoch, first.expires_s) == ("a", 1, 110.0)
    assert store.acquire_lease("b", now_s=109.9, ttl_s=10.0) is None
    assert store.lease() == first
    second = store.acquire_lease("b", now_s=110.0, ttl_s=10.0)
    assert second is not None
    assert (second.holder, second.epoch) == ("b", 2)


def test_a_holder_that_asks_again_fences_its_former_self(store: Store):
    former = store.acquire_lease("a", 0.0, 10.0)
    latter = store.acquire_lease("a", 1.0, 10.0)
    assert former is not None
    assert latter is not None
    assert latter.epoch == former.epoch + 1
    with pytest.raises(Deposed):
        store.commit(commit(submitted("w"), epoch=former.epoch))


def test_renewing_keeps_the_epoch_and_holds_others_off_for_longer(store: Store):
    lease = store.acquire_lease("a", 0.0, 10.0)
    assert lease is not None
    renewed = store.renew_lease(lease, 5.0, 10.0)
    assert (renewed.epoch, renewed.expires_s) == (lease.epoch, 15.0)
    assert store.lease() == renewed
    assert store.acquire_lease("b", 14.0, 10.0) is None


def test_a_lease_that_ran_out_but_that_nobody_took_is_still_good(store: Store):
    lease = store.acquire_lease("a", 0.0, 10.0)
    assert lease is not None
    assert store.commit(commit(submitted("w"), at_s=99.0, epoch=lease.epoch))
    assert store.renew_lease(lease, 100.0, 10.0).expires_s == 110.0


def test_a_deposed_holder_can_neither_renew_nor_write_and_its_release_changes_nothing(store: Store):
    old = store.acquire_lease("a", 0.0, 10.0)
    new = store.acquire_lease("b", 20.0, 10.0)
    assert old is not None
    with pytest.raises(Deposed):
        store.renew_lease(old, 21.0, 10.0)
    with pytest.raises(Deposed):
        store.commit(commit(submitted("w"), epoch=old.epoch, decision=Decision(policy="p", at_s=1.0)))
    store.release_lease(old)
    assert store.lease() == new
    assert store.world() == World()
    assert not store.entries(0)
    assert not store.decisions()


def test_a_released_lease_is_free_at_once_and_its_epoch_is_over(store: Store):
    lease = store.acquire_lease("a", 0.0, 1_000.0)
    assert lease is not None
    store.release_lease(lease)
    assert store.lease() is None
    for forbidden in (
        lambda: store.commit(commit(epoch=lease.epoch)),
        lambda: store.renew_lease(lease, 1.0, 1.0),
    ):
        with pytest.raises(Deposed):
            forbidden()
    taken = store.acquire_lease("b", 1.0, 10.0)
    assert taken is not None
    assert taken.epoch == lease.epoch + 1
