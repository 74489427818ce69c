"""Galley's composition root: store, publisher and list responder, config API, webhook, MCP, admin API."""

import os
import socket
import sys

from meshcore.bus.connection import BusSettings, connect
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import admin_authenticator, listening, serve_admin
from meshcore.runtime import Runtime, run
from meshcore.tls import LiveIdentity, ssl_server_context
from meshcore.tls.renewal import keep_current

from galley.adapters.admin import admin_routers
from galley.adapters.config_api import ConfigApi
from galley.adapters.config_api.calls import Backend
from galley.adapters.config_api.namespaces import seed
from galley.adapters.config_api.workload_tokens import TokenIssuer
from galley.adapters.list_responder import ListResponder
from galley.adapters.mcp import start_mcp
from galley.adapters.pilot_effect import PilotEffect
from galley.adapters.publisher import Publisher
from galley.adapters.secret_service import secret_handler
from galley.adapters.sources import intakes_of
from galley.adapters.store import Store
from galley.adapters.webhook import start_webhook
from galley.core.kind_rules import Naming
from galley.core.mcp.access import AllowedIdentities
from galley.core.sealing import Vault
from galley.core.workload_tokens import SigningKey
from galley.settings import GalleySettings, without_options


async def build(runtime: Runtime[GalleySettings]) -> None:
    """Wire the parts together. Config is served and written without NATS; publishing begins when NATS is there."""
    settings = runtime.settings
    directory = settings.identity_dir
    if directory is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "GALLEY_IDENTITY_DIR must name what `citadel init` made")
    identity = LiveIdentity.load(directory)
    kek = settings.key_encryption_key
    vault = None if kek is None else Vault.of_text(kek)
    store: Store = await runtime.enter("store", await Store.open(settings.database_url, vault=vault))
    await seed(store)
    publisher = None
    if settings.nats_url is not None:
        user_file, ca_file = directory / "nats-user.json", directory / "root-cert.pem"
        bus_settings = BusSettings(settings.nats_url, user_file if user_file.exists() else None, ca_file, "galley")
        bus = await runtime.enter("nats", connect(bus_settings))
        publisher = Publisher(store, bus, holder=f"{socket.gethostname()}/{settings.host}")
        responder = ListResponder(store, bus, publisher.repair)
        runtime.spawn("publisher", publisher.run)
        runtime.spawn("list-responder", responder.run)
    if settings.citadel_address is not None:
        citadel = settings.citadel_address
        runtime.spawn("renewal", lambda: keep_current(identity, citadel))
    authenticator = admin_authenticator(settings)
    pilot_effect = PilotEffect(settings.pilot_url, identity, directory) if settings.pilot_url else None
    backend = Backend(store, Naming(settings.domain), pilot=pilot_effect)
    issuer = TokenIssuer(settings.issuer, SigningKey((directory / "token-signing-key.pem").read_bytes()))
    api = ConfigApi(backend, authenticator, issuer, lambda: runtime.readiness.ready)
    tls = ssl_server_context(identity, client_certificates="optional")
    await runtime.enter("config-api", listening(api, settings.host, settings.port, tls, identity=identity))
    runtime.on_stop("watches", api.stop)
    await start_webhook(runtime, backend.naming, identity)
    readers = AllowedIdentities.parse(settings.secret_identities)
    await start_mcp(runtime, store, identity, [secret_handler(store, readers, settings.trust_domain, identity)])
    intakes = intakes_of(backend, settings.config_dir, settings.kubeconfig)
    for intake in intakes:
        runtime.spawn(f"source-{intake.report().source}", intake.run)
    routers = admin_routers(backend, publisher, runtime.stopping, intakes)
    await serve_admin(runtime, routers, authenticator=authenticator, identity=identity)


if __name__ == "__main__":
    sys.exit(run(GalleySettings, build, without_options(sys.argv[1:], os.environ)))
