"""The injector's composition root: config feed in, webhook and admin API out."""

import sys

from meshcore.bus.connection import BusSettings, connect
from meshcore.bus.feed import ConfigFeed
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import listening, serve_admin
from meshcore.runtime import Runtime, run
from meshcore.tls import LiveIdentity, ssl_server_context
from meshcore.tls.renewal import keep_current
from meshcore.tls.serving_certificate import serving_identity

from injector.adapters.debug import debug_router
from injector.adapters.mesh_feed import MeshFeed
from injector.adapters.webhook import create_webhook
from injector.core.mesh_state import MeshState
from injector.settings import InjectorSettings


async def build(runtime: Runtime[InjectorSettings]) -> None:
    """Wire the parts together; the webhook listens at once and answers 503 until the configuration is known."""
    settings = runtime.settings
    if settings.identity_dir is None or settings.nats_url is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "INJECTOR_IDENTITY_DIR and INJECTOR_NATS_URL must be set")
    identity = LiveIdentity.load(settings.identity_dir)
    if (citadel := settings.citadel_address) is not None:
        runtime.spawn("renewal", lambda: keep_current(identity, citadel))
    empty = MeshState.empty(
        settings.root_namespace,
        revision=settings.revision,
        cluster_id=settings.cluster_id,
        trust_domain=settings.trust_domain,
    )
    mesh = MeshFeed(empty, runtime.readiness)
    bus = await runtime.enter(
        "nats",
        connect(
            BusSettings(
                settings.nats_url,
                user_file=settings.identity_dir / "nats-user.json",
                ca_file=settings.identity_dir / "root-cert.pem",
                name=settings.service,
            )
        ),
    )
    last_copy = None if settings.state_dir is None else settings.state_dir / "mesh-config.json"
    feed = ConfigFeed(bus, last_copy)
    runtime.spawn("feed", lambda: mesh.follow(feed.events()))
    webhook = create_webhook(
        lambda: mesh.state,
        requests_per_second=settings.requests_per_second,
        requests_burst=settings.requests_burst,
        request_timeout=settings.request_timeout.total_seconds(),
    )
    context = ssl_server_context(serving_identity(runtime, identity))
    await runtime.enter("webhook", listening(webhook, settings.host, settings.webhook_port, context))
    await serve_admin(runtime, [debug_router(mesh)], identity=identity)


if __name__ == "__main__":
    sys.exit(run(InjectorSettings, build))
