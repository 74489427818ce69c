"""Puts Citadel together: database, root, keys of the token issuer, ports."""

import asyncio
from datetime import timedelta

from meshcore.bus.connection import BusSettings
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import serve_admin
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity, ssl_client_context

from citadel.adapters import telemetry
from citadel.adapters.access_log import AccessLog
from citadel.adapters.admin_api import admin_router
from citadel.adapters.audit_api import audit_router
from citadel.adapters.audit_service import AuditService
from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.database import open_database
from citadel.adapters.grpc_server import serving
from citadel.adapters.issuer import Issuer
from citadel.adapters.ledger import Ledger
from citadel.adapters.mesh_config import MeshConfigWatch
from citadel.adapters.own_certificate import keep_current
from citadel.adapters.root_store import load_root
from citadel.adapters.tls_front import TlsFront
from citadel.adapters.token_keys import TokenIssuer, TokenKeys
from citadel.adapters.trust_bundles import TrustBundle
from citadel.core.profile import workload_profile
from citadel.core.sealing import parse_kek
from citadel.core.workload_token import TokenRules
from citadel.settings import CitadelSettings

_SWEEP_EVERY = 3600
KEYS_CONDITION = "token-keys"


async def compose(runtime: Runtime[CitadelSettings]) -> None:
    """Start every part."""
    settings = runtime.settings
    identity = LiveIdentity.load(settings.identity)
    engine = await open_database(settings.database)
    runtime.on_stop("database", engine.dispose)
    authority = await load_root(engine, parse_kek(_kek(settings)))
    if authority is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no root in the database; run citadel init first")
    telemetry.show_expiry(authority.roots[0], authority.certificate)
    ledger = Ledger(engine)
    issuer = Issuer(authority, ledger.append)
    bundle = TrustBundle(authority.bundle_pem)
    front = TlsFront()
    trust_domain, root_namespace = settings.trust_domain, settings.root_namespace
    runtime.spawn("ledger", ledger.run)
    runtime.spawn("ledger sweep", lambda: _sweep(ledger, settings.ledger_retention))
    runtime.spawn("own certificate", lambda: keep_current(identity, issuer, trust_domain, root_namespace))
    access_log = AccessLog(engine, retention=settings.audit_retention, most_rows=settings.audit_most_rows)
    runtime.spawn("access log", access_log.run)
    runtime.spawn("access log sweep", access_log.sweep_for_ever)
    keys, rules = _token_issuer(runtime, identity)
    if settings.nats_url is not None:
        runtime.spawn("mesh config", _mesh_config(settings, settings.nats_url).run)
    routers = [admin_router(trust_domain, authority, bundle, ledger), audit_router(engine)]
    await serve_admin(runtime, routers, identity=identity)
    authenticator = CallerAuthenticator(front, trust_domain, root_namespace, keys, rules)
    port = await runtime.enter(
        "certificates",
        serving(
            host=settings.host,
            port=settings.port,
            identity=identity,
            front=front,
            authenticator=authenticator,
            issuer=issuer,
            workload=workload_profile(settings.default_workload_cert_ttl, settings.max_workload_cert_ttl),
            root_namespace=root_namespace,
            bundle=bundle,
            audit=AuditService(authenticator, access_log, settings.audit_rate),
        ),
    )
    runtime.ports["certificates"] = port
    runtime.log.info("certificate service listening", host=settings.host, port=port)


def _token_issuer(
    runtime: Runtime[CitadelSettings], identity: LiveIdentity
) -> tuple[TokenKeys | None, TokenRules | None]:
    settings = runtime.settings
    if settings.token_issuer is None:
        runtime.log.warning("no token issuer is set, callers need a client certificate")
        return None, None
    source = TokenIssuer(
        issuer=settings.token_issuer,
        tls=ssl_client_context(identity),
        discovery_url=settings.token_discovery_url,
        jwks_url=settings.token_jwks_url,
        token_file=settings.token_file or settings.identity / "galley-token",
    )
    keys = TokenKeys(source, None if settings.state_dir is None else settings.state_dir / "token-keys.json")

    async def announce() -> None:
        await keys.loaded.wait()
        runtime.readiness.set(KEYS_CONDITION, True)

    runtime.readiness.expect(KEYS_CONDITION)
    runtime.spawn("token keys loaded", announce, restart=False)
    runtime.spawn("token keys", keys.run)
    return keys, TokenRules(settings.token_issuer, settings.token_audiences, settings.trust_domain)


def _mesh_config(settings: CitadelSettings, url: str) -> MeshConfigWatch:
    bus = BusSettings(
        url=url,
        user_file=settings.identity / "nats-user.json",
        ca_file=settings.identity / "root-cert.pem",
        name=settings.service,
    )
    last_copy = None if settings.state_dir is None else settings.state_dir / "mesh-config.json"
    return MeshConfigWatch(bus, last_copy, settings.trust_domain, settings.root_namespace, settings.mesh_config_map)


async def _sweep(ledger: Ledger, retention: timedelta) -> None:
    while True:
        await ledger.forget(retention)
        await asyncio.sleep(_SWEEP_EVERY)


def _kek(settings: CitadelSettings) -> str:
    if settings.kek is not None:
        return settings.kek.get_secret_value()
    return (settings.identity / "kek").read_text()
