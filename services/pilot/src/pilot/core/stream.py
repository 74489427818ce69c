"""One ADS stream, as the engine keeps account of it. Pure."""

from dataclasses import dataclass, field

from meshcore.xds.session import AdsSession

from pilot.core.pace import Pace
from pilot.core.proxy import Proxy, ProxyClass
from pilot.core.push_queue import Push


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
    target_endpoints: int = 0
    """The number of the last change of endpoints that is in that target: it may be ahead of the generation."""
    settled_endpoints: int = 0
    """The last one that the client has taken."""
    moved: bool = False
    """Whether it is of another class than it was when it was given that target."""
    health_known: bool = False
    """Whether the agent is to be told that everybody knows of its workload's health."""
    complete: bool = False
    """Whether it has had its first complete config."""
    taken: Push | None = None
    """A push of which nothing has been sent yet: it may turn out to bring nothing new."""
    waited: float = 0.0
    """How long that push was in the queue."""
    pushed_at: float | None = None
    """When the oldest reason of what was sent last came up, until all of it has been acknowledged."""
    burden: int = 0
    """What its client is charged for it (`pilot.core.tenants`)."""
    pace: Pace = field(default_factory=Pace)
    """What that push waits for."""

    def take(self, push: Push, waited: float) -> None:
        """A push begins, after so long in the queue."""
        if self.taken is None:
            self.taken, self.waited = push, waited
        else:
            self.taken = self.taken.merged(push)

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
        self.moved = True

    def unaffected(self, generation: int, endpoints: int) -> None:
        """What it has is what a new generation would give it, which a change of endpoints led to unless that is 0."""
        if self.target_generation == generation - 1:
            if self.settled_generation == self.target_generation:
                self.settled_generation = generation
            self.target_generation = generation
        if endpoints and self.target_endpoints == endpoints - 1:
            if self.settled_endpoints == self.target_endpoints:
                self.settled_endpoints = endpoints
            self.target_endpoints = endpoints

    def has_taken(self, generation: int, endpoints: int) -> bool:
        """Whether the client has taken what there was at a generation, and all changes of endpoints up to one."""
        return self.settled_generation >= generation and self.settled_endpoints >= endpoints

    @property
    def connection_id(self) -> str:
        """Istio's form: `<proxy id>-<number>`."""
        return f"{self.proxy.id}-{self.number}"

    def has_unknown(self, type_url: str, name: str) -> bool:
        """Whether the client came with a form of this resource that this process does not know the content of."""
        channel = self.session.channels.get(type_url)
        found = channel.taken.get(name) if channel is not None else None
        return found is not None and found.exists and not found.body
