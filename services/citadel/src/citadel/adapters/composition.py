"""Puts Citadel together: database, authority, keys of the token issuer, ports."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from cryptography import x509
from meshcore.authentication.composition import start_call_proofs
from meshcore.bus.connection import BusSettings
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Bounds, serving
from meshcore.http import serve_admin
from meshcore.http.kubeconfig import Access
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity, ssl_server_context, write_private
from meshcore.tls.serving_certificate import serving_identity
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters import telemetry
from citadel.adapters.access_log import AccessLog
from citadel.adapters.admin_api import admin_router
from citadel.adapters.audit_api import audit_router
from citadel.adapters.audit_service import AuditService
from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.authority_api import authority_router
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.authority_source import RootFollower, follow_files, keep_root_file, plugged_in_authority
from citadel.adapters.caller_limits import CallerLimits
from citadel.adapters.certificate_service import CertificateService
from citadel.adapters.database import open_database
from citadel.adapters.gateway_secrets import GatewaySecrets
from citadel.adapters.holders import Holders
from citadel.adapters.issuer import Issuer
from citadel.adapters.kubernetes_signers import ASK_TIMEOUT, KubernetesSigners
from citadel.adapters.ledger import Ledger
from citadel.adapters.mesh_config import MeshConfigWatch
from citadel.adapters.namespace_keeper import NamespaceKeeper
from citadel.adapters.own_certificate import keep_current
from citadel.adapters.plugged_in_files import PluggedInFiles
from citadel.adapters.registration_authority import RegistrationAuthority, SignerNames
from citadel.adapters.root_rotation import RootRotation
from citadel.adapters.root_store import RootStore
from citadel.adapters.secret_discovery import FirstRoot, SecretDiscovery
from citadel.adapters.signers import active_signers
from citadel.adapters.trust_bundles import TrustBundle
from citadel.core.authority import Authority
from citadel.core.caller import AuthenticatedCaller
from citadel.core.members import is_of_control_plane
from citadel.core.mesh_settings import MeshSettings, mesh_config_key
from citadel.core.profile import workload_profile
from citadel.settings import CitadelSettings, ExternalCa

_SWEEP_EVERY = 3600
LARGEST_MESSAGE = 256 * 1024


async def compose(runtime: Runtime[CitadelSettings]) -> None:
    """Start every part."""
    settings = runtime.settings
    identity = LiveIdentity.load(settings.identity)
    engine = await open_database(settings.database)
    runtime.on_stop("database", engine.dispose)
    in_force, rotation, refusal = await _authority(runtime, engine)
    in_force.on_change(lambda _, present: telemetry.show_expiry(present.roots[0], present.certificate))
    telemetry.show_expiry(in_force.current.roots[0], in_force.current.certificate)
    ledger, holders = Ledger(engine), Holders(engine)
    issuer = Issuer(in_force, ledger.append)
    bundle = TrustBundle(in_force.current)
    in_force.on_change(lambda _, present: bundle.follow(present))
    workload = workload_profile(settings.default_workload_cert_ttl, settings.max_workload_cert_ttl)
    trust_domain, root_namespace = settings.trust_domain, settings.root_namespace
    runtime.spawn("ledger", ledger.run)
    runtime.spawn("holders", holders.run)
    runtime.spawn("sweep", lambda: _sweep(ledger, holders, settings.ledger_retention))
    runtime.spawn("own certificate", lambda: keep_current(identity, issuer, in_force, trust_domain, root_namespace))
    if (path := settings.root_file) is not None:
        runtime.spawn("root file", lambda: keep_root_file(path, in_force, partial(write_private, mode=0o644)))
    access_log = AccessLog(engine, retention=settings.audit_retention, most_rows=settings.audit_most_rows)
    runtime.spawn("access log", access_log.run)
    runtime.spawn("access log sweep", access_log.sweep_for_ever)
    if settings.kubeconfig is not None and settings.keep_namespaces:
        access, pairs = Access.of_kubeconfig(settings.kubeconfig), workload if settings.key_and_cert_secrets else None
        keeper = NamespaceKeeper(access, in_force, issuer, trust_domain, root_namespace, pairs)
        runtime.spawn("namespaces", keeper.run)
    authenticator = _authenticator(runtime, identity, in_force)
    registration = await _registration(runtime, engine, in_force, ledger)
    if settings.nats_url is not None:
        obey = registration.obey if registration is not None else lambda found: in_force.trust(found.foreign_roots)
        runtime.spawn("mesh config", _mesh_config(settings, settings.nats_url, authenticator, obey).run)
    elif registration is not None:
        registration.obey(MeshSettings())
    routers = [
        admin_router(trust_domain, in_force, bundle, ledger),
        authority_router(trust_domain, in_force, engine, rotation, refusal),
        audit_router(engine),
    ]
    await serve_admin(runtime, routers, identity=identity)
    limits = CallerLimits(settings.requests_per_second, settings.requests_burst)
    secrets = SecretDiscovery(
        authenticator, bundle, holders, _gateway_secrets(runtime, identity), _first_root(registration, root_namespace)
    )
    handlers = {
        **CertificateService(authenticator, issuer, workload, root_namespace, limits, registration).handlers,
        **AuditService(authenticator, access_log, settings.audit_rate).handlers,
        **secrets.handlers,
    }
    context = ssl_server_context(serving_identity(runtime, identity, of_mesh=True), client_certificates="optional")
    port = await runtime.enter(
        "certificates", serving(handlers, settings.host, settings.port, context, Bounds(message=LARGEST_MESSAGE))
    )
    runtime.ports["certificates"] = port
    runtime.log.info("certificate service listening", host=settings.host, port=port)


async def _authority(
    runtime: Runtime[CitadelSettings], engine: AsyncEngine
) -> tuple[AuthorityInForce, RootRotation | None, Callable[[], str]]:
    """The authority, kept current; the rotation of the root where it is our own; why files are refused."""
    settings = runtime.settings
    folder = settings.plugged_in_dir
    files = None if folder is None else PluggedInFiles(folder, roots_may_change=settings.multiroot_mesh)
    plugged_in = await plugged_in_authority(engine, files)
    if files is not None and plugged_in is not None:
        in_force = AuthorityInForce(plugged_in, await active_signers(engine))
        runtime.spawn("plugged-in authority", lambda: follow_files(files, engine, in_force))
        return in_force, None, lambda: files.refusal
    store = RootStore(engine, settings.key_encryption_keys)
    roots = await store.load()
    if roots is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no root in the database; run citadel init first")
    in_force = AuthorityInForce(roots.authority, await active_signers(engine))
    follower = RootFollower(store, in_force, settings.root_ttl, settings.root_grace_percentile)
    await follower.renew_if_due()
    _refuse_expired(in_force.current)
    rotation = RootRotation(store, settings.root_ttl, follower.refresh)
    every, jitter = settings.root_check_interval, settings.root_check_jitter
    runtime.spawn("authority", follower.run)
    runtime.spawn("root renewal", lambda: follower.renew_in_time(every, jitter=jitter))
    runtime.spawn("root rotation", rotation.run)
    return in_force, rotation, str


def _refuse_expired(authority: Authority) -> None:
    if authority.certificate.not_valid_after_utc <= datetime.now(UTC):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the root has expired: nothing can be issued under it")


def _authenticator(
    runtime: Runtime[CitadelSettings], identity: LiveIdentity, in_force: AuthorityInForce
) -> CallerAuthenticator:
    settings = runtime.settings
    proofs = start_call_proofs(runtime, identity, settings.identity / "galley-token", "token-keys.json", needed=True)
    if not proofs.any:
        runtime.log.warning("no token issuer is set, callers need a client certificate")
    return CallerAuthenticator(settings.trust_domain, settings.root_namespace, in_force, proofs)


async def _registration(
    runtime: Runtime[CitadelSettings], engine: AsyncEngine, in_force: AuthorityInForce, ledger: Ledger
) -> RegistrationAuthority | None:
    """What has workloads' certificates signed elsewhere, where that is wanted."""
    settings = runtime.settings
    if settings.external_ca is ExternalCa.NONE or settings.kubeconfig is None:
        return None
    client = await runtime.enter("signers", Access.of_kubeconfig(settings.kubeconfig).client(ASK_TIMEOUT))
    names = SignerNames(settings.k8s_signer, settings.cert_signer_domain)
    signers = KubernetesSigners(client, settings.signer_timeout)
    registration = RegistrationAuthority(signers, names, settings.external_ca_root, in_force, engine, ledger)
    registration.load()
    runtime.spawn("registration", registration.follow)
    runtime.log.info("workloads' certificates are a signer's", signer=names.default, domain=names.domain)
    return registration


def _first_root(registration: RegistrationAuthority | None, root_namespace: str) -> FirstRoot:
    def first_root(caller: AuthenticatedCaller) -> x509.Certificate | None:
        if registration is None or is_of_control_plane(caller, root_namespace):
            return None
        return registration.first_root(caller)

    return first_root


def _gateway_secrets(runtime: Runtime[CitadelSettings], identity: LiveIdentity) -> GatewaySecrets | None:
    settings = runtime.settings
    if settings.galley_address is None or not settings.secret_readers:
        return None
    secrets = GatewaySecrets(settings.galley_address, identity, settings.secret_readers)
    runtime.spawn("gateway secrets", secrets.run)
    return secrets


def _mesh_config(
    settings: CitadelSettings, url: str, authenticator: CallerAuthenticator, trust: Callable[[MeshSettings], None]
) -> MeshConfigWatch:
    bus = BusSettings(
        url=url,
        user_file=settings.identity / "nats-user.json",
        ca_file=settings.identity / "root-cert.pem",
        name=settings.service,
    )
    last_copy = None if settings.state_dir is None else settings.state_dir / "mesh-config.json"

    def obey(found: MeshSettings) -> None:
        authenticator.aliases = found.aliases
        trust(found)

    key = mesh_config_key(settings.root_namespace, settings.mesh_config_map)
    return MeshConfigWatch(bus, last_copy, settings.trust_domain, key, obey)


async def _sweep(ledger: Ledger, holders: Holders, retention: timedelta) -> None:
    while True:
        await ledger.forget(retention)
        await holders.forget(retention)
        await asyncio.sleep(_SWEEP_EVERY)
