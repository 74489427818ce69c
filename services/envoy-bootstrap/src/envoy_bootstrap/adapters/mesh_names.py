"""The name table of the mesh: from Pilot, or kept from before, to the agent's DNS server."""

from contextlib import AsyncExitStack
from pathlib import Path
from socket import SOCK_DGRAM
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from envoy_bootstrap.adapters.dns_proxy import DnsProxy
from envoy_bootstrap.adapters.dns_upstream import DnsUpstream
from envoy_bootstrap.adapters.listening_sockets import ListeningSockets
from envoy_bootstrap.adapters.stored_state import StoredState
from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.environment import AgentConfig
from envoy_bootstrap.core.name_lookup import NameLookup
from envoy_bootstrap.core.resolv_conf import Resolvers, parse_resolv_conf

_log = structlog.get_logger("dns")
_DNS_PORT = 53


class MeshNames:
    """One workload's. Without DNS capture the table is only shown."""

    def __init__(self, config: AgentConfig, stored: StoredState) -> None:
        self._config = config
        self._stored = stored
        self._resolvers = _resolvers(config.dns.resolv_conf) if config.dns.listen else Resolvers()
        self._proxy = DnsProxy(DnsUpstream(self._upstream()), config.node["metadata"]["INSTANCE_IPS"].split(","))
        self._names: NameLookup | None = None
        self.table = b""
        """As Pilot sent it."""

    @property
    def missing(self) -> bool:
        """Whether names are the agent's business and there is no table yet."""
        return bool(self._config.dns.listen) and self._names is None

    @property
    def document(self) -> Any:
        """For people."""
        return {} if self._names is None else self._names.document()

    async def start(self, public: AsyncExitStack, sockets: ListeningSockets) -> None:
        """Listen, and answer by the table of before until Pilot has sent one."""
        if self.missing and (kept := self._stored.load_names()) is not None:
            self._use(kept)
        for address in self._config.dns.listen:
            datagrams = sockets.claim(f"dns udp {address}", address.host, address.port, SOCK_DGRAM)
            streams = sockets.claim(f"dns tcp {address}", address.host, address.port)
            await public.enter_async_context(self._proxy.serving(datagrams, streams))

    def received(self, table: bytes) -> None:
        """Pilot's word."""
        if not self._use(table) or not self._config.dns.listen:
            return
        try:
            self._stored.save_names(table)
        except OSError as error:
            _log.error("the name table is not stored", reason=error.strerror)

    def _use(self, table: bytes) -> bool:
        node = self._config.node
        domain = str(node["id"]).rpartition("~")[2].partition(".svc.")[2]
        try:
            self._names = NameLookup.of(table, node["metadata"]["NAMESPACE"], domain, self._resolvers.search)
        except DecodeError:
            _log.error("the name table cannot be read, the last one counts")
            return False
        self._proxy.replace(self._names)
        self.table = table
        return True

    def _upstream(self) -> list[HostPort]:
        own = {address.host for address in self._config.dns.listen}
        servers = (HostPort(server, _DNS_PORT) for server in self._resolvers.servers if server not in own)
        return [*(self._config.dns.upstream or servers)]


def _resolvers(path: str) -> Resolvers:
    try:
        return parse_resolv_conf(Path(path).read_text(errors="replace"))
    except OSError as error:
        _log.warning("there are no name servers to ask", file=path, reason=error.strerror)
        return Resolvers()
