"""One ADS stream, as the engine keeps account of it. Pure."""

from dataclasses import dataclass, field

from meshcore.xds.session import AdsSession

from pilot.core.pace import Pace
from pilot.core.proxy import Proxy, ProxyClass


@dataclass(eq=False)
class Stream:
    """One ADS stream. `number` counts the streams of this process; `since` is its start in seconds of the epoch."""

    number: int
    proxy: Proxy
    session: AdsSession
    proxy_class: ProxyClass | None
    """None for streams that are never compiled for: an agent's, an observer's."""
    secret_class: ProxyClass | None = None
    """Of an agent that keeps the Secrets of its proxy: the proxy's class."""
    address: str = ""
    since: float = 0.0
    target_generation: int = 0
    """The engine's generation of the target that the session was given last."""
    settled_generation: int = 0
    """The newest generation that the client has taken whole."""
    health_known: bool = False
    """Whether the agent is to be told that everybody knows of its workload's health."""
    complete: bool = False
    """Whether it has had its first complete config."""
    pushed_at: float | None = None
    """When the oldest reason of the last push came up, until that push has been acknowledged."""
    burden: int = 0
    """What its client is charged for it (`pilot.core.tenants`)."""
    pace: Pace = field(default_factory=Pace)
    """What that push waits for."""

    @property
    def of_class(self) -> ProxyClass | None:
        """The class whose config decides what it may have; None for streams that nothing is compiled for."""
        return self.secret_class if self.proxy_class is None else self.proxy_class

    def reclassify(self, proxy_class: ProxyClass) -> None:
        """It is of another class now."""
        if self.secret_class is None:
            self.proxy_class = proxy_class
        else:
            self.secret_class = proxy_class

    @property
    def connection_id(self) -> str:
        """Istio's form: `<proxy id>-<number>`."""
        return f"{self.proxy.id}-{self.number}"

    def has_unknown(self, type_url: str, name: str) -> bool:
        """Whether the client came with a form of this resource that this process does not know the content of."""
        channel = self.session.channels.get(type_url)
        found = channel.taken.get(name) if channel is not None else None
        return found is not None and found.exists and not found.body
