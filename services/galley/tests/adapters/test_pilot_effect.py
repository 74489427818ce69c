"""What Pilot is asked, what of its answer a caller sees, and what becomes of a dry run without Pilot."""

from pathlib import Path

import pytest
from galley.adapters.pilot_effect import TOKEN_FILE, PilotEffect, supposed, visible
from galley.core.storage import Verb, WriteOp
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity

ROUTES = Key("networking.istio.io", "virtualservices", "shop", "reviews")
SECRET = Key("", "secrets", "shop", "key")


def test_pilot_is_asked_about_what_would_be_published_and_never_about_a_secret() -> None:
    written = {"kind": "VirtualService"}
    operations = [
        WriteOp(Verb.UPDATE, ROUTES, {"kind": "as written"}, written),
        WriteOp(Verb.CREATE, SECRET, {"data": {"key": "c2VjcmV0"}}, None),
        WriteOp(Verb.DELETE, ROUTES),
    ]
    named = {"name": "reviews", "namespace": "shop"}
    assert supposed(operations) == [
        {"operation": "apply", "object": written},
        {
            "operation": "delete",
            "object": {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": named},
        },
    ]


def test_a_viewer_of_one_namespace_sees_the_proxies_of_that_one() -> None:
    effect = {"revision": 3, "consequences": [{"proxies": ["a.shop", "b.books"]}, {"proxies": ["c.books"]}]}
    assert visible(effect, {"shop"}) == {"revision": 3, "consequences": [{"proxies": ["a.shop"]}], "hidden": 2}
    assert visible(effect, None)["hidden"] == 0


async def test_without_an_answer_there_is_a_reason(tmp_path: Path) -> None:
    identity = LiveIdentity(make_ca().issue("spiffe://cluster.local/ns/istio-system/sa/galley"))
    nobody = PilotEffect("http://127.0.0.1:9", identity, tmp_path)
    with pytest.raises(MeshError, match="there is no pilot-token"):
        await nobody.ask([])
    (tmp_path / TOKEN_FILE).write_text("token")
    with pytest.raises(MeshError, match="Pilot does not answer") as caught:
        await nobody.ask([])
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert "token" not in caught.value.detail.replace("pilot-token", "")
