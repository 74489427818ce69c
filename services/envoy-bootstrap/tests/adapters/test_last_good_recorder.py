"""When the agent asks its Envoy for all that it has, and what becomes of an Envoy that does not say."""

from types import SimpleNamespace

from envoy_bootstrap.adapters.last_good_recorder import LastGoodRecorder
from envoy_bootstrap.adapters.stored_state import decompress
from envoy_bootstrap.core.last_good import BYTES_PER_LOOK, LOOKS_WITHOUT_REST
from envoy_bootstrap.core.readiness import EnvoyReadiness
from meshcore.errors import ErrorCode, MeshError


class Envoy:
    """Has received so many bytes, and has such a dump; None: it does not answer."""

    epoch = 1

    def __init__(self, dump):
        self.admin, self.received, self.dump, self.asked = self, 1000, dump, 0

    async def readiness(self):
        return EnvoyReadiness(True)

    async def stats(self, _):
        return f"cluster.xds-grpc.upstream_cx_rx_bytes_total: {self.received}\n"

    async def get(self, _, timeout):
        self.asked += 1
        if self.dump is None:
            raise MeshError(ErrorCode.UNAVAILABLE, "Envoy does not answer")
        return self.dump


def recorder_of(envoy):
    stored = SimpleNamespace(load_snapshot=lambda: None, save_snapshot=lambda _: None)
    secrets, extensions = SimpleNamespace(use=lambda _: None), SimpleNamespace(wanted=False)
    return LastGoodRecorder(SimpleNamespace(envoy=envoy), stored, secrets, extensions)


async def look(recorder, times):
    for _ in range(times):
        await recorder.record(at_once=False)


async def test_a_dump_that_envoy_does_not_give_is_taken_later():
    envoy = Envoy(None)
    recorder = recorder_of(envoy)
    await look(recorder, 2)
    assert (envoy.asked, recorder.snapshot) == (1, b"")
    envoy.dump = "{}"
    await look(recorder, LOOKS_WITHOUT_REST - 1)
    assert envoy.asked == 1
    await look(recorder, 1)
    assert decompress(recorder.snapshot) == "{}"
    await look(recorder, 2 * LOOKS_WITHOUT_REST)
    assert envoy.asked == 2


async def test_after_a_large_dump_changes_wait_for_the_next():
    envoy = Envoy("[" + " " * (4 * BYTES_PER_LOOK) + "]")
    recorder = recorder_of(envoy)
    await look(recorder, 2)
    envoy.received, envoy.dump = 5000, "{}"
    await look(recorder, 3)
    assert envoy.asked == 1
    await look(recorder, 1)
    assert decompress(recorder.snapshot) == "{}"
