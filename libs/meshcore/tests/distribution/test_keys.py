from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.distribution.keys import HEAD_KEY, Key, kv_key, parse_kv_key

part = st.text(max_size=12)
named = st.text(min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        (
            Key("networking.istio.io", "virtualservices", "default", "reviews"),
            "networking=2Eistio=2Eio.virtualservices.default.reviews",
        ),
        (Key("", "services", "default", "a"), "core.services.default.a"),
        (Key("", "namespaces", "", "default"), "core.namespaces._.default"),
        (Key("core", "things", "_", "a b"), "=63ore.things.=5F.a=20b"),
        (Key("", "configmaps", "x", "kube-root-ca.crt"), "core.configmaps.x.kube-root-ca=2Ecrt"),
    ],
)
def test_key_and_spelling(key: Key, spelled: str):
    assert kv_key(*key) == spelled
    assert str(key) == spelled
    assert parse_kv_key(spelled) == key


@settings(derandomize=True, max_examples=300)
@given(group=part, plural=named, namespace=part, name=named)
def test_every_key_survives_and_is_safe_for_nats(group: str, plural: str, namespace: str, name: str):
    spelled = kv_key(group, plural, namespace, name)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+){3}", spelled)
    assert parse_kv_key(spelled) == Key(group, plural, namespace, name)


@pytest.mark.parametrize(
    "text", [HEAD_KEY, "a.b.c", "a.b.c.d.e", "core.x.y.=ff", "core.x.y.=41", "core.x..z", "core..y.z"]
)
def test_other_spellings_are_refused(text: str):
    with pytest.raises(ValueError, match=r"key|escaped"):
        parse_kv_key(text)


def test_a_key_without_a_name_is_refused():
    with pytest.raises(ValueError, match="needs a plural and a name"):
        kv_key("", "services", "default", "")
