"""Which mTLS a workload asks for: port over workload over namespace over mesh, PERMISSIVE at last. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from meshcore.labels import selects
from meshcore.model import PeerAuthentication
from meshcore.model.peer_authentication import MtlsMode, PeerMtls
from meshcore.xds.origin import Origins

from pilot.core.config import Config

Policies = tuple[Config[PeerAuthentication], ...]


@dataclass(frozen=True, eq=False)
class NamespaceMtls:
    """The policies that count in one namespace: the mesh's (of the root namespace) and its own, oldest first."""

    mesh: Policies
    own: Policies

    @property
    def namespace_mode(self) -> MtlsMode:
        """The mode without any workload's own policy; all that a client's cluster may look at."""
        for policies in (self.own, self.mesh):
            general = _first(policies, None)
            if general is not None and (mode := _mode(general.object.spec.mtls)) is not MtlsMode.UNSET:
                return mode
        return MtlsMode.PERMISSIVE

    def mode(self, labels: Mapping[str, str], port: int) -> MtlsMode:
        """The mode of one target port of a workload with these labels."""
        workload = _first(self.own, labels)
        if workload is None:
            return self.namespace_mode
        at_port = workload.object.spec.port_level_mtls.get(str(port))
        if (mode := _mode(at_port)) is not MtlsMode.UNSET:
            return mode
        if (mode := _mode(workload.object.spec.mtls)) is not MtlsMode.UNSET:
            return mode
        return self.namespace_mode

    def decider(self, labels: Mapping[str, str] | None, port: int = -1) -> Origins:
        """The policy that gives the mode, unless it is the mode that holds without any; see `mode`, and without labels
        `namespace_mode`."""
        workload = None if labels is None else _first(self.own, labels)
        if workload is not None:
            at_port = workload.object.spec.port_level_mtls.get(str(port))
            for mode in (_mode(at_port), _mode(workload.object.spec.mtls)):
                if mode is not MtlsMode.UNSET:
                    return () if mode is MtlsMode.PERMISSIVE else (workload.ref,)
        for policies in (self.own, self.mesh):
            general = _first(policies, None)
            if general is not None and (mode := _mode(general.object.spec.mtls)) is not MtlsMode.UNSET:
                return () if mode is MtlsMode.PERMISSIVE else (general.ref,)
        return ()

    def ports(self, labels: Mapping[str, str]) -> tuple[int, ...]:
        """Ports that a policy of this workload names, sorted."""
        workload = _first(self.own, labels)
        return tuple(sorted(map(int, workload.object.spec.port_level_mtls))) if workload else ()


NO_POLICY = NamespaceMtls((), ())


def mtls_by_namespace(
    policies: Mapping[str, Policies], root: str, before: Mapping[str, NamespaceMtls]
) -> Mapping[str, NamespaceMtls]:
    """By namespace, and under the empty name what holds where there is no policy of its own; of `before` as long as its
    policies stay. `root` is the namespace whose policies are the mesh's."""
    mesh = policies.get(root, ())
    after = {}
    for namespace in {*policies, root, ""}:
        own = policies.get(namespace, ())
        old = before.get(namespace)
        stays = old is not None and old.mesh is mesh and (old.own is own or (not own and not old.own))
        after[namespace] = old if stays and old is not None else NamespaceMtls(mesh, own)
    return after


def _first(policies: Policies, labels: Mapping[str, str] | None) -> Config[PeerAuthentication] | None:
    """The oldest policy with a matching selector, or (labels None) the oldest without a selector."""
    for policy in policies:
        selector = policy.object.spec.selector
        wanted = selector.match_labels if selector else {}
        if bool(wanted) == (labels is not None) and (labels is None or selects(wanted, labels)):
            return policy
    return None


def _mode(setting: PeerMtls | None) -> MtlsMode:
    return setting.mode if setting else MtlsMode.UNSET
