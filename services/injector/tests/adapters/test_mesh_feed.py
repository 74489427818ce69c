from datetime import UTC, datetime

from injector.adapters.mesh_feed import MeshFeed
from injector.core.decision import InjectionPolicy
from injector.core.mesh_state import MeshState
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.runtime import Readiness

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("", "configmaps", "istio-system", "istio-sidecar-injector")


def record(revision, document):
    return make_record(kv_key(*KEY), "store", revision, document, "", NOW)


def config_map(text):
    return {"metadata": {"name": KEY.name, "namespace": KEY.namespace}, "data": {"config": text}}


async def test_the_first_state_and_every_change_set_reach_the_configuration():
    readiness = Readiness()
    feed = MeshFeed(MeshState.empty("istio-system"), readiness)
    seen = []
    first = record(1, config_map("policy: disabled"))
    second = record(2, config_map("policy: nonsense"))
    gone = record(3, None)

    async def events():
        yield FullState("store", 1, "", {KEY: first}, from_disk=True)
        seen.append((feed.revision, feed.state.config.policy, feed.state.problems))
        yield ChangeSet("store", 2, 1, "", NOW, (Change(KEY, second, first),))
        seen.append((feed.revision, feed.state.config.policy, bool(feed.state.problems)))
        yield ChangeSet("store", 3, 2, "", NOW, (Change(KEY, gone, second),))
        seen.append((feed.revision, feed.state.config.policy, feed.state.problems))

    assert feed.state is None
    assert not readiness.conditions["config"].ok
    await feed.follow(events())
    assert seen == [
        (1, InjectionPolicy.DISABLED, ()),
        (2, InjectionPolicy.DISABLED, True),
        (3, InjectionPolicy.ENABLED, ()),
    ]
    assert readiness.conditions["config"].ok
