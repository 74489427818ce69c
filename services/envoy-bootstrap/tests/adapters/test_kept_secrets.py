"""What the agent keeps of Pilot's Secrets, and for how long."""

import asyncio

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy_bootstrap.adapters.kept_secrets import KeptSecrets
from envoy_bootstrap.adapters.stored_state import SECRETS_FILE, StoredState
from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.sealed import StateKey
from meshcore.xds.types import SECRET_TYPE

KEY = StateKey(b"k" * 32)
CERT, OTHER = "kubernetes://cert", "kubernetes://other"


def message(*items):
    response = discovery_pb2.DeltaDiscoveryResponse(type_url=SECRET_TYPE)
    for name, version, body in items:
        response.resources.add(name=name, version=version).resource.value = body
    return response


def test_what_is_used_is_kept_sealed_over_a_restart_and_what_is_not_is_forgotten(tmp_path):
    kept, asked = KeptSecrets(StoredState(tmp_path, KEY)), []
    kept.changed = lambda added, gone: asked.append((set(added), set(gone)))
    assert (kept.resources, kept.wanted) == ({}, {})
    kept.use(frozenset({CERT}))
    kept.received(message((CERT, "1", b"a private key"), (OTHER, "1", b"not asked for")))
    assert kept.resources == {SECRET_TYPE: {CERT: Versioned("1", b"a private key")}}
    stored = tmp_path / SECRETS_FILE
    assert stored.stat().st_mode & 0o777 == 0o600
    assert b"private key" not in stored.read_bytes()
    again = KeptSecrets(StoredState(tmp_path, KEY))
    assert (again.resources, again.wanted) == (kept.resources, {CERT: "1"})
    kept.use(frozenset({OTHER}))
    assert asked == [({CERT}, set()), ({OTHER}, {CERT})]
    assert (kept.wanted, stored.exists()) == ({OTHER: ""}, False)


def test_without_a_state_key_nothing_is_on_disk(tmp_path):
    kept = KeptSecrets(StoredState(tmp_path, None))
    kept.use(frozenset({CERT}))
    kept.received(message((CERT, "1", b"a private key")))
    assert list(tmp_path.iterdir()) == []
    assert kept.resources, "an Envoy that starts again beside the same agent has it"


async def test_what_the_agent_pulls_images_with_is_kept_beside_what_envoy_uses(tmp_path):
    kept = KeptSecrets(StoredState(tmp_path, KEY))
    pull, secret = "pull://shop/registry", secret_pb2.Secret()
    secret.generic_secret.secret.inline_bytes = b"a document"
    kept.pull_with(frozenset({pull}))
    kept.use(frozenset({CERT}))
    assert (kept.wanted, kept.generic(pull)) == ({CERT: "", pull: ""}, b"")
    arrival = asyncio.ensure_future(kept.arrival(pull, 30))
    await asyncio.sleep(0)
    kept.received(message((pull, "1", secret.SerializeToString())))
    await arrival
    assert KeptSecrets(StoredState(tmp_path, KEY)).generic(pull) == b"a document"
    kept.pull_with(frozenset())
    assert kept.wanted == {CERT: ""}
    assert not (tmp_path / SECRETS_FILE).exists()
