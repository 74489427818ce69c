"""The agent as a whole: what is started in which order, and how the workload leaves the mesh."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from meshcore import metrics
from meshcore.errors import ErrorCode, MeshError
from meshcore.http.serving import listening
from meshcore.runtime import tasks
from meshcore.tls import Bundle, ServiceIdentity, TrustFollower
from meshcore.xds.types import SECRET_TYPE

from envoy_bootstrap.adapters import app_health
from envoy_bootstrap.adapters.access_log_service import AccessLogService
from envoy_bootstrap.adapters.agent_sockets import start_agent_sockets
from envoy_bootstrap.adapters.app_probe_route import SOURCES, AppProbeRoute, uncaptured_source
from envoy_bootstrap.adapters.audit_reporter import AuditReporter
from envoy_bootstrap.adapters.bootstrap_source import ADS_SOCKET, BootstrapSource
from envoy_bootstrap.adapters.certificate_folder import CertificateFolder
from envoy_bootstrap.adapters.citadel import CitadelClient
from envoy_bootstrap.adapters.grpc_workload import GrpcWorkload
from envoy_bootstrap.adapters.guarded_fetch import GuardedFetch
from envoy_bootstrap.adapters.handover import Handover
from envoy_bootstrap.adapters.kept_secrets import KeptSecrets
from envoy_bootstrap.adapters.last_good_recorder import LastGoodRecorder
from envoy_bootstrap.adapters.listening_sockets import ListeningSockets
from envoy_bootstrap.adapters.local_discovery import (
    Discovery,
    LastGoodService,
)
from envoy_bootstrap.adapters.merged_metrics import MergedMetrics
from envoy_bootstrap.adapters.mesh_names import MeshNames
from envoy_bootstrap.adapters.mounted_certificate import MountedCertificate
from envoy_bootstrap.adapters.operator_bootstrap import OperatorBootstrap
from envoy_bootstrap.adapters.pilot_addresses import ENDPOINTS_FILE, PilotAddresses
from envoy_bootstrap.adapters.pilot_roots import PilotRoots
from envoy_bootstrap.adapters.pilot_stream import PilotStream
from envoy_bootstrap.adapters.pulled_extensions import PulledExtensions
from envoy_bootstrap.adapters.pulled_modules import PulledModules
from envoy_bootstrap.adapters.secret_sockets import SecretSockets
from envoy_bootstrap.adapters.status import StatusSources, status_app
from envoy_bootstrap.adapters.stored_state import StoredState
from envoy_bootstrap.adapters.succession import Succession
from envoy_bootstrap.adapters.supervisor import Supervisor, outlasting
from envoy_bootstrap.adapters.wasm_modules import WasmModules
from envoy_bootstrap.adapters.workload_identity import WorkloadIdentity
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.environment import AgentConfig
from envoy_bootstrap.core.envoy_arguments import drain_request
from envoy_bootstrap.core.file_secrets import folders_of_node
from envoy_bootstrap.core.grpc_messages import grpc_message_counts, node_names
from envoy_bootstrap.core.mounted import mounted_files
from envoy_bootstrap.core.node import agent_node
from envoy_bootstrap.core.readiness import EnvoyReadiness
from envoy_bootstrap.core.sealed import identity_from_bytes, identity_to_bytes
from envoy_bootstrap.core.secrets_resources import secrets_of
from envoy_bootstrap.core.static_clusters import PILOT_ROOT_SECRET, ROOT_SECRET

_log = structlog.get_logger("agent")
_STARTUP = metrics.gauge("istio_agent_startup_duration_seconds", "Seconds from the agent's start to a ready proxy.")
_CALLERS_KNOW_WITHIN = 5.0
_DRAIN_LIMIT = timedelta(hours=1)
_APP_UNWELL = "the application does not pass its health check"
_STARTING, _SERVING = 0.05, 1.0
"""Seconds between looks at Envoy's readiness before and after it was ready."""


class Agent:
    """One workload's agent."""

    def __init__(self, config: AgentConfig, state_dir: Path, envoy: str, operator: OperatorBootstrap) -> None:
        self._config = config
        self._state_dir = state_dir
        self._names = node_names(config.node)
        fetch = GuardedFetch(config.blocked_for_wasm)
        self._modules = WasmModules(state_dir / "wasm", fetch)
        self._begun = monotonic()
        self._leaving = False
        self._drained = False
        self._skip_drain = False
        self._app_healthy = config.app.readiness is None
        citadel = CitadelClient(
            config.citadel,
            config.identity,
            root_file=Path(config.root_file),
            token_file=Path(config.token_file),
            ttl=config.secret_ttl,
            rsa_key_size=config.rsa_key_size,
            cluster_id=config.cluster_id,
            signer=str(config.node["metadata"].get("CERT_SIGNER", "")),
        )
        self.identity = WorkloadIdentity(citadel.issue, ratio=config.grace_ratio, jitter=config.grace_jitter)
        self._root_file = Path(config.root_file)
        self.trust = TrustFollower(str(config.citadel), config.node["id"], self._trusting, self._take, others=True)
        self._audit = AuditReporter(config.citadel, self.identity, str(config.node["id"]), config.audit_queue)
        self._envoy = envoy
        self._source = source = BootstrapSource(config, state_dir, operator)
        self.supervisor = Supervisor(envoy, state_dir, source.render, source.arguments, source.override)
        self._stored = StoredState.open(state_dir, config.state_key_file)
        self._kept_secrets = KeptSecrets(self._stored)
        pulled = PulledModules(state_dir / "pulled", self._modules, fetch)
        self._extensions = PulledExtensions(self._stored, pulled, self._kept_secrets)
        self._recorder = LastGoodRecorder(self.supervisor, self._stored, self._kept_secrets, self._extensions)
        folders = (*config.file_folders, *folders_of_node(config.node["metadata"]))
        self._secrets = SecretSockets(state_dir, folders, files_apart=bool(config.foreign_sds))
        self._last_good = Discovery()
        self._last_good_service = LastGoodService(
            self._last_good, self._recorder.resources, lambda: self.stream.answered
        )
        self.names = MeshNames(config, self._stored)
        self.stream = PilotStream(
            config.pilot,
            agent_node(config.node),
            self.identity,
            on_answered=self._last_good_service.hand_back,
            on_names=self.names.received,
            on_bootstrap=source.patch.received if config.asks_for_bootstrap else None,
            kept=(self._kept_secrets, self._extensions),
        )
        self._sockets = ListeningSockets()
        self._public = contextlib.AsyncExitStack()
        """What listens for others than Envoy."""
        self.succession = Succession(state_dir, self._sockets, self.supervisor, self.stream)

    async def start(self, runtime: Any) -> None:
        """Start all parts; what must be there before Envoy comes first. Stops run in the reverse order."""
        given = await self.succession.begin(follows=self._config.takes_over)
        if given is not None:
            self._inherit(given)
        runtime.on_stop("public sockets", self._close_public)
        await self._listen(runtime)
        records = AccessLogService(self._audit.keep)
        served = (self._secrets, self._last_good_service, records, self._extensions)
        servers = await start_agent_sockets(runtime, self._state_dir, *served)
        await self.succession.serve(runtime, servers, self._hand_over, lambda: self._go(runtime))
        self.identity.on_change(lambda identity: self._secrets.offer(self._secrets_of(identity)))
        if self._config.grpc_bootstrap:
            await GrpcWorkload(self._config, self._state_dir, self.identity).start(runtime)
        elif self._config.output_certs:
            folder = CertificateFolder(Path(self._config.output_certs))
            self.identity.on_change(lambda identity: folder.write(self.identity.for_peers(identity)))
        self.identity.on_change(lambda _: self.trust.renewed())
        if self._config.pilot_root_file:
            roots = PilotRoots(self._config.pilot_root_file, self.identity.believe_of_pilot)
            roots.read()
            runtime.spawn("pilot roots", roots.follow)
        if not self._config.pilot.is_ip:
            await self._follow_pilots_name(runtime)
        runtime.spawn("certificate", self._source_of_certificates(given))
        runtime.spawn("trust bundle", self._follow_trust, restart=False)
        runtime.spawn("certificate files", self._secrets.files.watch)
        runtime.spawn("pilot stream", self.succession.speak)
        runtime.spawn("health", self._watch_health)
        unhealthy = None if self._app_healthy else _APP_UNWELL
        take_charge = self.succession.take_charge
        runtime.spawn("succession", lambda: take_charge(self.readiness, unhealthy), restart=False)
        if self._config.has_envoy:
            runtime.on_stop("audit", self._audit.last_words)
            runtime.spawn("audit", self._audit.run)
            runtime.spawn("envoy", self._run_envoy)
            again = tasks.create_task
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, lambda: again(self.restart_envoy(), name="envoy replacement"))
            runtime.spawn("last good", self._recorder.record_for_ever)
        if (probe := self._config.app.readiness) is not None:
            own = () if self._config.shares_machine else self._config.node["metadata"]["INSTANCE_IPS"].split(",")
            source = uncaptured_source(probe.action, own)
            runtime.spawn("application health", lambda: app_health.watch(probe, self._app_changed, source=source))
        runtime.on_stop("workload", self._leave)

    def _source_of_certificates(self, given: Handover | None) -> Callable[[], Coroutine[Any, Any, None]]:
        """Files that somebody mounts, or Citadel; only what Citadel has issued is kept for a restart without it."""
        config = self._config
        metadata = config.node["metadata"]
        files = mounted_files(forced=config.file_mounted, metadata=metadata, exists=os.path.exists)
        if files is not None:
            _log.info("the certificate is that of files", chain=files.chain)
            use = self.identity.use_mounted
            return MountedCertificate(files, config.root_file, use, str(config.identity)).follow
        if given is not None and given.identity:
            self.identity.restore(*identity_from_bytes(given.identity))
        elif (restored := self._stored.load_identity(config.identity)) is not None:
            self._restore(*restored)
        self.identity.on_change(self._keep)
        return self.identity.renew_for_ever

    def _restore(self, identity: ServiceIdentity, revoked: bytes, others: bytes, received: datetime) -> None:
        """Use a stored pair.

        Where the file of roots has changed since, another root may sign: both are believed, as the file is by whoever
        starts anew, and the pair is renewed at once.
        """
        with contextlib.suppress(OSError):
            roots = self._root_file.read_bytes().strip()
            if roots not in identity.root:
                both = identity.root.rstrip() + b"\n" + roots + b"\n"
                identity = ServiceIdentity(identity.key, identity.chain, both)
                self.identity.hurry()
        self.identity.restore(identity, revoked, others, received)

    async def _run_envoy(self) -> None:
        await self._source.settle(self._envoy)
        await self.supervisor.run()

    async def restart_envoy(self) -> None:
        """Put an Envoy with the newest bootstrap in the place of the running one; a wrong bootstrap changes nothing."""
        try:
            await self._source.reload(self._envoy)
            await self.supervisor.replace(self._config.proxy.drain_duration)
        except MeshError as error:
            _log.error("envoy is not replaced", reason=str(error)[-2000:])

    async def readiness(self) -> EnvoyReadiness:
        """Is the proxy ready for traffic? A workload without one is, once it has a certificate."""
        if not self._config.has_envoy:
            return EnvoyReadiness(self.identity.current is not None, "there is no certificate yet")
        if self.names.missing:
            return EnvoyReadiness(False, "the name table has not come yet")
        return await self.supervisor.readiness()

    async def _follow_pilots_name(self, runtime: Any) -> None:
        file = self._state_dir / ENDPOINTS_FILE
        addresses = PilotAddresses(self._config.pilot, UnixSocket(str(self._state_dir / ADS_SOCKET)), file)
        await addresses.refresh()
        runtime.on_stop(ENDPOINTS_FILE, lambda: self._if_in_charge(addresses.forget))
        runtime.spawn("pilot addresses", addresses.refresh_for_ever)

    async def _listen(self, runtime: Any) -> None:
        # The status port is the lock of the workload's address: two Envoys on one address would share traffic silently.
        host, port = self._config.listen_host, self._config.proxy.status_port
        app, socket = status_app(self._sources(runtime)), self._sockets.claim(f"status {host}:{port}", host, port)
        await self._public.enter_async_context(listening(app, host, port, listener=socket))
        await self.names.start(self._public, self._sockets)
        self._sockets.let_go()

    async def _close_public(self) -> None:
        await self._public.aclose()
        self._sockets.close()

    async def _if_in_charge(self, tidy: Callable[[], Awaitable[None]]) -> None:
        if self.succession.in_charge.is_set():
            await tidy()

    def _hand_over(self) -> Handover:
        """What another agent of this workload needs of this one."""
        current, kept = self.identity.current, self.identity
        return Handover(
            epoch=self.supervisor.epoch,
            healthy=self._app_healthy,
            identity=b"" if current is None else identity_to_bytes(current, kept.revoked, kept.others, kept.received),
            snapshot=self._recorder.snapshot,
            names=self.names.table,
            sockets=self._sockets.descriptors,
        )

    def _inherit(self, given: Handover) -> None:
        self._app_healthy = given.healthy
        self._recorder.inherit(given.snapshot)
        if given.names:
            self.names.received(given.names)

    async def _go(self, runtime: Any) -> None:
        """Another agent is in charge: no new caller, and then the end."""
        await self._close_public()
        runtime.stop()

    def _secrets_of(self, identity: ServiceIdentity) -> Mapping[str, Versioned]:
        mine = self.identity
        return secrets_of(identity, mine.others, mine.revoked, mine.of_pilot)[SECRET_TYPE]

    async def _follow_trust(self) -> None:
        await self.identity.wait()
        await self.trust.run()

    def _trusting(self) -> ServiceIdentity:
        """What Citadel is shown, and believed by: the bundle in force, and the file, where a replaced root lies too."""
        current = self.identity.current
        assert current is not None  # noqa: S101 - the follower starts with the first pair
        with contextlib.suppress(OSError):
            return ServiceIdentity(current.key, current.chain, current.root + b"\n" + self._root_file.read_bytes())
        return current

    async def _take(self, bundle: Bundle) -> str:
        """Use a bundle, and say so only when Envoy does."""
        self.identity.trust(bundle)
        current = self.identity.current
        assert current is not None  # noqa: S101 - the follower starts with the first pair
        secrets = self._secrets_of(current)
        for name in (ROOT_SECRET, PILOT_ROOT_SECRET):
            if reason := await self._secrets.own.confirmed(SECRET_TYPE, name, secrets[name].version):
                return reason
        return ""

    def _keep(self, identity: ServiceIdentity) -> None:
        try:
            kept = self.identity
            self._stored.save_identity(identity, kept.revoked, kept.others, kept.received)
        except OSError as error:
            _log.error("the certificate is not stored", reason=error.strerror)

    async def _app_changed(self, healthy: bool) -> None:
        self._app_healthy = healthy

    async def _watch_health(self) -> None:
        """Tell Pilot of every change; the workload gets traffic once its proxy and its application are ready."""
        reported: str | None = ""
        was_ready = False
        await self.succession.in_charge.wait()
        while True:
            if self._leaving:
                return
            readiness = await self.readiness()
            if readiness.ready and not was_ready:
                was_ready = True
                _STARTUP.set(monotonic() - self._begun)
                _log.info("proxy ready", seconds=round(monotonic() - self._begun, 3))
            unhealthy = _unhealthy(readiness, self._app_healthy)
            if unhealthy != reported and not self._leaving:
                await self.stream.report(unhealthy)
                reported = unhealthy
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SERVING if unhealthy is None else _STARTING):
                    await self.supervisor.crashed.wait()
                self.supervisor.crashed.clear()

    async def _leave(self) -> None:
        """Out of the callers' sight, drained, ended; last the stream, which de-registers at once."""
        self._leaving = True
        if not self.succession.in_charge.is_set():
            shortest, longest = outlasting(self._config.proxy.drain_duration)
            await self.supervisor.stop(longest if self.succession.handed_over else timedelta(), shortest)
            await self.stream.abandon()
            return
        await self._recorder.record(at_once=True)
        callers_know = False if self._skip_drain else await self.stream.leave(_CALLERS_KNOW_WITHIN)
        wait_for_zero = self._config.exit_on_zero_connections
        drain = _DRAIN_LIMIT if wait_for_zero else self._config.proxy.termination_drain_duration
        if self._drained or self._skip_drain:
            drain = timedelta()
        if not self._config.has_envoy:
            drain = timedelta()
        await self.supervisor.stop(
            drain,
            self._config.minimum_drain if wait_for_zero else timedelta(),
            callers_know=callers_know and not wait_for_zero,
            inbound_only=self._config.is_sidecar,
        )
        await self.stream.end()
        await self.trust.release()

    async def _drain_now(self) -> None:
        envoy = self.supervisor.envoy
        if envoy is not None:
            await envoy.admin.post(drain_request(inbound_only=self._config.is_sidecar, stays=True))
            self._drained = True

    def _sources(self, runtime: Any) -> StatusSources:
        def quit_now() -> None:
            self._skip_drain = True
            runtime.stop()

        return StatusSources(
            readiness=self.readiness,
            metrics=MergedMetrics(self._envoy_metrics, self._config.app.metrics),
            probes=AppProbeRoute(
                self._config.app.probes,
                self._config.proxy.status_port,
                None if self._config.shares_machine else SOURCES[":" in self._config.instance_ip],
            ),
            drain=self._drain_now,
            quit=quit_now,
            wasm_module=self._modules.get,
            audit=self._audit.status,
            names=lambda: self.names.document,
        )

    async def _envoy_metrics(self) -> str:
        envoy = self.supervisor.envoy
        if not self._config.has_envoy:
            return ""
        if envoy is None:
            raise MeshError(ErrorCode.UNAVAILABLE, "Envoy is not running")
        text = await envoy.admin.get("/stats/prometheus?usedonly")
        return text + grpc_message_counts(text, self._names)


def _unhealthy(readiness: EnvoyReadiness, app_healthy: bool) -> str | None:
    if not readiness.ready:
        return readiness.reason or "the proxy is not ready"
    return None if app_healthy else _APP_UNWELL
