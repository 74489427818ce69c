"""The engine: config in, per-stream targets out. Decides who is affected, compiles once per class, keeps the receipts.

    feed -> snapshot -> receipts opened -> debounce -> pending pushes -> each stream takes its own -> session
            snapshot    receipt            lanes       push_queue        class_configs, verdicts

The second row names the modules of `pilot.core`. Changes of endpoints alone have a lane of their own.

A push costs the number of distinct configurations: streams of one class are given the same `ResourceSet`, and a class
whose compile gives what it had keeps the very same mappings, which a session takes as "unchanged". Pure: time comes in
(seconds of a monotonic clock, and of the epoch where it is shown to people), nothing is sent from here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.xds.frames import Frames
from meshcore.xds.resource import ResourceSet
from meshcore.xds.secret_book import SecretBook, SecretName, SecretState
from meshcore.xds.session import AdsSession, Front

from pilot.core import secret_needs
from pilot.core.agents import concerned_agents, concerns_agents
from pilot.core.class_configs import ClassConfigs
from pilot.core.compiler.envoy_filter.bootstrap import with_bootstrap
from pilot.core.compiler.refresh import endpoints_alone_differ
from pilot.core.compiling import Affects, Compile, Forget, Refresh, never, nothing
from pilot.core.debounce import Debounce
from pilot.core.impact import keys_affect, registry_affects
from pilot.core.isolation import HeldBack, Isolation
from pilot.core.issuer_keys import IssuerKeys
from pilot.core.key_demand import KeyDemand
from pilot.core.lanes import EndpointChanges, Lane, Step
from pilot.core.membership import Membership
from pilot.core.name_table import NameTables
from pilot.core.proxy import Proxy, ProxyClass
from pilot.core.push_queue import Push
from pilot.core.receipt import ReceiptLog
from pilot.core.registry import RegisteredWorkload
from pilot.core.secret_rights import Account, SecretRights
from pilot.core.secret_sets import SecretSets, beside
from pilot.core.selection import concerned
from pilot.core.snapshot import MeshSnapshot
from pilot.core.stream import Stream
from pilot.core.verdicts import Verdicts


@dataclass
class Engine:
    """All that one Pilot process knows. Single-threaded."""

    compile: Compile
    affects: Affects
    debounce: Debounce
    endpoint_debounce: Debounce = field(default_factory=lambda: Debounce(0, 0))
    receipts: ReceiptLog = field(default_factory=ReceiptLog)
    frames: Frames = field(default_factory=Frames)
    snapshot: MeshSnapshot = field(default_factory=MeshSnapshot.empty)
    streams: dict[int, Stream] = field(default_factory=dict)
    has_state: bool = False
    """Whether a first complete snapshot was applied."""
    refresh: Refresh = never
    forget: Forget = nothing
    secrets: SecretBook = field(default_factory=SecretBook)
    rights: SecretRights = field(default_factory=SecretRights)
    isolation: Isolation = field(default_factory=Isolation)
    generation: int = 0
    """Counts snapshots."""
    registered_at: tuple[int, int] = (0, 0)
    """The generation, and the number of the change of endpoints, as of which all registrations are known."""
    endpoint_changes: EndpointChanges = field(default_factory=EndpointChanges)
    key_demand: KeyDemand = field(default_factory=KeyDemand)
    _numbers: int = 0
    _registered: tuple[RegisteredWorkload, ...] = ()
    _members: Membership = field(default_factory=Membership)
    _names: NameTables = field(default_factory=NameTables)

    def __post_init__(self) -> None:
        self.config_lane, self.endpoint_lane = Lane(self.debounce), Lane(self.endpoint_debounce)
        self._sets = SecretSets(self.secrets, self.rights)
        self.configs = ClassConfigs(
            self.compile, self.refresh, self.forget, self.isolation, self.frames, self.endpoint_changes
        )
        self._verdicts = Verdicts(self.isolation, self.configs, self._members)

    def take_state(self, state: FullState, now: float) -> None:
        """A whole state: everybody may be affected, and earlier revisions cannot be accounted for."""
        if state.revision < self.snapshot.revision:
            for stream in self.streams.values():
                stream.session.revisions_restarted()
        fresh = MeshSnapshot.of_entries(state.entries, state.revision, self.snapshot).with_keys(self.snapshot.keys)
        self._replace(fresh.with_registered(self._registered))
        self.secrets.generation += 1  # ConfigMaps may be others
        self.endpoint_changes.restarted()
        self.receipts.restarted(state.revision)
        self.has_state = True
        self._touch(self.streams.values(), "global", now)

    def take_changes(self, changes: ChangeSet, now: float) -> None:
        """A change set: who must get it is fixed here, before anything is compiled."""
        settled = self.receipts.settled_everywhere(now)
        step = self._replace(self.snapshot.apply(changes.changes, changes.revision), changes.changes)
        users = secret_needs.users_of_maps(changes.changes, self.configs.needs)
        self.secrets.generation += bool(users)

        def concerns(one: ProxyClass) -> bool:
            return one in users or any(self.affects(change, one, self.snapshot) for change in changes.changes)

        affected = self._affected(concerns, step)
        due = {stream.number: stream.proxy.id for stream in affected}
        committed = changes.commit_time.timestamp()
        left_out = self.snapshot.left_out_of(changes.changes)
        self.receipts.opened(changes.previous, changes.revision, committed, due, step.endpoints, now, left_out)
        agents = self._agents(concerns, step, changes.changes)
        self._touch([*affected, *agents], "endpoint" if step.endpoints else "config", now, step, settled=settled)

    def take_registered(self, workloads: Iterable[RegisteredWorkload], now: float) -> None:
        """Exactly these workloads are registered; no config revision, so no receipt."""
        self._registered = tuple(workloads)
        after = self.snapshot.with_registered(self._registered)
        if after is not self.snapshot:
            step = self._replace(after, ())
            whole, endpoints = self.registered_at
            self.registered_at = (whole, step.endpoints) if step.endpoints else (self.generation, endpoints)
            concerns = partial(registry_affects, snapshot=after)
            self._touch([*self._affected(concerns, step), *self._agents(concerns, step)], "endpoint", now, step)

    def take_secret(self, name: SecretName, state: SecretState, now: float) -> None:
        """What a Secret is now: told to those whose config refers to it."""
        if not self.secrets.take(name, state):
            return
        self.generation += 1
        users = secret_needs.users_of(frozenset({name}), self.configs.needs)
        keepers = [stream for stream in self.streams.values() if stream.secret_class in users]
        self._touch([*self._affected(users.__contains__, Step(self.snapshot)), *keepers], "secret", now)

    def take_secret_revision(self, revision: int) -> None:
        """All Secrets that a revision changed have been told: its receipt waits for those who use them."""
        users = secret_needs.users_of(self.secrets.at(revision), self.configs.needs)
        due = {
            stream.number: stream.proxy.id
            for stream in self.streams.values()
            if stream.proxy_class in users and stream.settled_generation < self.generation
        }
        self.receipts.opened_aside(revision, self.generation, due)

    def take_keys(self, keys: IssuerKeys, now: float) -> None:
        """What is known of issuers' keys now; no config revision, so no receipt."""
        before = self.snapshot.keys
        if keys is before:
            return
        step = self._replace(self.snapshot.with_keys(keys))
        changed = keys.changed_since(before)
        affected = self._affected(lambda one: keys_affect(changed, one, self.snapshot), step)
        self._touch(affected, "keys", now)

    def wanted_secrets(self) -> Mapping[SecretName, frozenset[str]]:
        """Every Secret that the config of a connected, proven proxy refers to, with the identities that it is for."""
        return secret_needs.wanted(self.streams.values(), self.configs.needs, self.rights)

    def secret_problems(self) -> Mapping[tuple[str, str], str]:
        """What is wrong with secrets that are needed, by name of the resource and namespace of who needs it."""
        streams, maps = self.streams.values(), self.snapshot.configs.get("ConfigMap", {})
        return secret_needs.problems(streams, self.configs.needs, self.secrets, self.rights, maps)

    def secret_users(self) -> frozenset[Account]:
        """Whose right to read Secrets matters."""
        return secret_needs.accounts(self.streams.values(), self.configs.needs)

    def take_right(self, account: Account, allowed: bool, now: float) -> None:
        """Whether an account may read Secrets."""
        if self.rights.take(account, allowed, now):
            self.secrets.generation += 1
            self.generation += 1
            holders = [s for s in self.streams.values() if secret_needs.account_of(s) == account]
            self._touch(holders, "secret", now)

    def keep_secrets(self, stream: Stream) -> None:
        """An agent keeps the Secrets of its proxy, for a start without us: it may have those that the proxy may."""
        self._leave_class(stream)
        stream.secret_class = self._members.class_of(stream.proxy.as_envoy(), self.snapshot.selection)
        self._members.join(stream)

    def connect(self, proxy: Proxy, front: Front, address: str, epoch: float) -> Stream:
        """A new stream of an authorised proxy."""
        self._numbers += 1
        session = AdsSession(front, self.frames)
        has_none = proxy.is_agent or proxy.is_observer
        proxy_class = None if has_none else self._members.class_of(proxy, self.snapshot.selection)
        stream = Stream(self._numbers, proxy, session, proxy_class, address=address, since=epoch)
        self.streams[stream.number] = stream
        self._members.join(stream)
        return stream

    def is_alone(self, stream: Stream) -> bool:
        """Whether nobody else is of its class."""
        return len(self._members.of(stream.of_class)) == 1

    def disconnect(self, stream: Stream) -> bool:
        """The stream has ended; True when a receipt no longer waits for it."""
        self.streams.pop(stream.number, None)
        self.config_lane.forget(stream.number)
        self.endpoint_lane.forget(stream.number)
        self._leave_class(stream)
        return self.receipts.left(stream.number)

    def release_pushes(self) -> list[int]:
        """The debounce of config is over: the streams that now have a pending push and had none.

        A stream whose config waits for the first try of an issuer's keys is held back until that is over.
        """
        waiting = self.key_demand.waiting(self.snapshot)
        return self.config_lane.release(lambda number: waiting(self.streams[number].proxy_class))

    def release_endpoints(self) -> list[int]:
        """As `release_pushes`, of changes of endpoints."""
        return self.endpoint_lane.release()

    def take_push(self, stream: Stream, *, config: bool = True) -> tuple[Push, ResourceSet] | None:
        """The stream's pending push, with what it is to have now and the revision that this goes up to. Endpoints come
        before config that has to be compiled, which is left alone without `config`."""
        early = self.endpoint_lane.queue.take(stream.number)
        if early is not None and self.config_lane.owes(stream.number) and not self._is_made(stream):
            if (ahead := self._ahead(stream)) is not None:
                return early.up_to(ahead[0].revision), ahead[1]
            self.config_lane.merge(stream.number, early)
            early = None
        push = self.config_lane.queue.take(stream.number) if config or early is not None else None
        if early is not None:
            push = early if push is None else push.merged(early)
        if push is None:
            return None
        made = self.target(stream)
        self.endpoint_lane.forget(stream.number)
        if self.config_lane.idle and self.endpoint_lane.idle:
            self.endpoint_changes.forget()
        return push.up_to(self.snapshot.revision), made

    def _is_made(self, stream: Stream) -> bool:
        """Whether it takes no compile to give a stream everything."""
        return stream.of_class is None or self.configs.is_made(stream.of_class, self.snapshot)

    def _ahead(self, stream: Stream) -> tuple[MeshSnapshot, ResourceSet] | None:
        """What the stream has, with the endpoints of now. None where it takes more than that: it has moved to another
        class, or something else of the class depends on its endpoints."""
        one = stream.proxy_class
        found = self.configs.ahead(one, self._registered) if one is not None and not stream.moved else None
        if found is not None:
            stream.target_endpoints = self.endpoint_changes.count
            found = found[0], self._completed(stream, found[1])
        return found

    def take_refusal(self, stream: Stream, type_url: str, names: Iterable[str], words: str, now: float) -> list[int]:
        """A client refuses resources of a message; the streams that have a pending push because of it and had none."""
        return self._push_again(stream, now) if self._verdicts.refused(stream, type_url, names, words) else []

    def take_acknowledgement(self, stream: Stream, type_url: str, now: float) -> list[int]:
        """A client has taken a message of this type; as `take_refusal`."""
        return self._push_again(stream, now) if self._verdicts.taken(stream, type_url) else []

    def held_back(self, stream: Stream) -> tuple[HeldBack, ...]:
        """What a stream has in another form than was compiled."""
        return self._verdicts.held_back(stream)

    def target(self, stream: Stream) -> ResourceSet:
        """What a stream is to be given now; whoever only wants to look asks `compiled`."""
        stream.target_generation, stream.target_endpoints = self.generation, self.endpoint_changes.count
        stream.moved = False
        return self._completed(stream, self.compiled(stream))

    def compiled(self, stream: Stream) -> ResourceSet:
        """What a stream is to have, compiled at most once per class and snapshot."""
        one = stream.proxy_class
        if one is not None:
            return self.configs.resources(one, self.snapshot)
        made = with_bootstrap(self._names.of(self.snapshot, stream.proxy), self.snapshot, stream.proxy)
        if stream.secret_class is None:
            return made
        return beside(made, self.configs.made(stream.secret_class, self.snapshot))

    def _completed(self, stream: Stream, made: ResourceSet) -> ResourceSet:
        made = self._verdicts.as_it_was(stream, made)
        return self._sets.completed(made, stream, self.snapshot.configs.get("ConfigMap", {}))

    def _push_again(self, stream: Stream, now: float) -> list[int]:
        """Its class is to have something else although no config has changed."""
        push = Push(self.snapshot.revision, now, frozenset({"refusal"}))
        members = self._members.of(stream.proxy_class)
        return [number for number in members if self.config_lane.queue.add(number, push)]

    def find(self, proxy_id: str) -> Stream | None:
        """The newest compiled-for stream of a proxy; else of a workload of that name, `<workload>.<namespace>`."""
        compiled_for = [s for s in self.streams.values() if s.proxy_class is not None]
        found = [s for s in compiled_for if s.proxy.id == proxy_id]
        found = found or [s for s in compiled_for if f"{s.proxy.workload}.{s.proxy.namespace}" == proxy_id]
        return found[-1] if found else None

    def _replace(self, snapshot: MeshSnapshot, changes: tuple[Change, ...] | None = None) -> Step:
        """Take a snapshot into use, which is the last one with these changes if it is not another altogether."""
        before, self.snapshot = self.snapshot, snapshot
        selection = before.selection
        self.generation += 1
        alone = changes is not None and endpoints_alone_differ(before, snapshot)
        endpoints = self.endpoint_changes.came(changes) if alone and changes is not None else 0
        moved = set()
        if snapshot.selection is not selection:
            may_move = concerned(selection, snapshot.selection)
            for stream in self.streams.values():
                if stream.of_class is None or not may_move(stream.proxy):
                    continue
                proxy_class = self._members.class_of(stream.proxy.as_envoy(), snapshot.selection)
                if proxy_class != stream.of_class:
                    self._leave_class(stream)
                    stream.reclassify(proxy_class)
                    self._members.join(stream)
                    moved.add(stream.number)
        return Step(before, frozenset(moved), endpoints)

    def _affected(self, concerns: Callable[[ProxyClass], bool], step: Step) -> list[Stream]:
        """The streams that the newest snapshot may alter something for. Of the others it is noted that they are as far
        as they were: what they have is what it would give them."""
        affected: list[Stream] = []
        spared = []
        for one, streams in self._members.compiled_for():
            # What is in force for a class that lacks an object may be concerned where the newest snapshot is not.
            if concerns(one) or one in self.configs.lacking:
                affected += streams
                continue
            spared.append(one)
            for stream in streams:
                if stream.number in step.moved:
                    affected.append(stream)
                else:
                    stream.unaffected(self.generation, step.endpoints)
        self.configs.unaffected(spared, step.before, self.snapshot)
        return affected

    def _agents(
        self, concerns: Callable[[ProxyClass], bool], step: Step, changes: tuple[Change, ...] | None = None
    ) -> list[Stream]:
        own = concerns_agents(changes, step.before, self.snapshot, endpoints_alone=step.endpoints > 0)
        return concerned_agents(self.streams.values(), step.moved, concerns, own=own)

    def _leave_class(self, stream: Stream) -> None:
        """One stream fewer; what nobody is of any more is forgotten."""
        one = stream.of_class
        if self._members.leave(stream) and one is not None:
            self.configs.forget(one)
            self._sets.forget(one)

    def _touch(
        self, streams: Iterable[Stream], reason: str, now: float, step: Step | None = None, *, settled: bool = False
    ) -> None:
        lane = self.endpoint_lane if step is not None and step.endpoints else self.config_lane
        lane.touch(streams, Push(self.snapshot.revision, now, frozenset({reason})), now, settled=settled)
