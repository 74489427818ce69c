from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from citadel.core.authority import make_root
from citadel.core.rotation import Holder, Leaf, Phase, authority_of, name_of, outstanding, prospects
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW = (
    make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", 10 * DAY, NOW, serial) for serial in (1, 2)
)
BOTH = authority_of(OLD, NEW, Phase.DISTRIBUTING)
SWITCHED = authority_of(OLD, NEW, Phase.SIGNING)
FRONT = "spiffe://cluster.local/ns/shop/sa/front"
HOLDER = Holder(FRONT, "front-1", OLD.bundle_digest, "a1", OLD.key_id, NOW + DAY, True, NOW)
LEAF = Leaf("spiffe://cluster.local/ns/shop/sa/stock", "b2", OLD.key_id, OLD.bundle_digest, "workload", NOW + DAY)


def waiting(phase, holders=(), leaves=(), without=(), now=NOW):
    return outstanding(phase, authority_of(OLD, NEW, phase), holders, leaves, without, now)


def test_the_signer_changes_with_the_phase_and_its_root_is_always_first():
    assert authority_of(OLD, None, None) is OLD
    assert (BOTH.key_id, BOTH.roots) == (OLD.key_id, (OLD.certificate, NEW.certificate))
    assert (SWITCHED.key_id, SWITCHED.roots) == (NEW.key_id, (NEW.certificate, OLD.certificate))
    assert len({OLD.bundle_digest, BOTH.bundle_digest, SWITCHED.bundle_digest}) == 3


def test_distributing_waits_for_every_holder_to_confirm():
    [one] = waiting(Phase.DISTRIBUTING, [HOLDER])
    assert (one.name, one.absent) == (f"{FRONT} front-1", False)
    assert waiting(Phase.DISTRIBUTING, [replace(HOLDER, bundle=BOTH.bundle_digest)]) == ()


def test_a_confirmation_counts_although_its_holder_is_away_now():
    assert waiting(Phase.DISTRIBUTING, [replace(HOLDER, bundle=BOTH.bundle_digest, connected=False)]) == ()


def test_who_is_away_may_come_back_until_its_certificate_expires_and_must_be_named_then():
    away = replace(HOLDER, connected=False)
    assert [one.absent for one in waiting(Phase.DISTRIBUTING, [away])] == [False]
    assert [one.absent for one in waiting(Phase.DISTRIBUTING, [away], now=NOW + 2 * DAY)] == [True]
    silent = replace(HOLDER, seen_at=NOW - timedelta(hours=1))
    assert "is away" in waiting(Phase.DISTRIBUTING, [silent])[0].reason


def test_signing_waits_until_no_leaf_of_the_old_root_is_presented():
    assert len(waiting(Phase.SIGNING, [HOLDER])) == 1
    assert waiting(Phase.SIGNING, [replace(HOLDER, signer=NEW.key_id)]) == ()
    assert waiting(Phase.SIGNING, [HOLDER], now=NOW + DAY) == ()


def test_nobody_waits_for_leaves_of_signers_outside_to_be_anybody_elses():
    elsewhere = {"signer": "0" * 64}
    assert waiting(Phase.SIGNING, [replace(HOLDER, **elsewhere)], [replace(LEAF, **elsewhere)]) == ()
    assert len(waiting(Phase.DISTRIBUTING, [replace(HOLDER, **elsewhere)], [replace(LEAF, **elsewhere)])) == 2


@pytest.mark.parametrize("phase", Phase)
def test_leaves_that_nobody_follows_the_bundle_with_count_too_but_not_twice(phase):
    assert [one.name for one in waiting(phase, [], [LEAF])] == [f"{LEAF.identity} serial b2"]
    assert [one.name for one in waiting(phase, [HOLDER], [replace(LEAF, serial="a1")])] == [f"{FRONT} front-1"]


def test_a_leaf_that_came_with_the_new_bundle_has_it():
    assert waiting(Phase.DISTRIBUTING, [], [replace(LEAF, bundle=BOTH.bundle_digest)]) == ()
    assert waiting(Phase.SIGNING, [], [replace(LEAF, signer=NEW.key_id)]) == ()


@pytest.mark.parametrize("name", [f"{FRONT} front-1", FRONT, "front-1"])
def test_who_is_named_is_not_waited_for(name):
    assert waiting(Phase.DISTRIBUTING, [HOLDER], [LEAF], [name, "b2"]) == ()


def test_prospects_are_all_that_do_not_follow_the_bundle_now():
    server = replace(LEAF, profile="server", serial="c3")
    found = prospects([HOLDER, replace(HOLDER, node="front-2", connected=False)], [LEAF, server], NOW)
    assert [one.name for one in found] == [
        name_of(FRONT, "front-2"),
        f"{LEAF.identity} serial b2",
        f"{LEAF.identity} serial c3",
    ]
    assert "citadel init" in found[2].reason
