"""Which policies count for a class of proxies, by what they do: those of the root namespace, then its own, oldest
first. Pure."""

from dataclasses import dataclass

from meshcore.model import AuthorizationPolicy
from meshcore.model.authorization_policy import Action

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.config import Config
from pilot.core.policy_target import is_target

Policy = Config[AuthorizationPolicy]
DRY_RUN = "istio.io/dry-run"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


@dataclass(frozen=True, eq=False)
class Policies:
    """All that count."""

    found: tuple[Policy, ...]

    def doing(self, action: Action) -> tuple[Policy, ...]:
        """Those with that action."""
        return tuple(policy for policy in self.found if policy.object.spec.action is action)


def policies_of(work: Compilation) -> Policies | None:
    """The policies of this class, the same object while none of them changes; None without any."""
    one, root = work.proxy_class, work.mesh.root_namespace
    spaces = work.snapshot.by_namespace.get("AuthorizationPolicy", {})
    configs = tuple(spaces.get(namespace, ()) for namespace in dict.fromkeys((root, one.namespace)))
    if not any(configs):
        return None
    key = ("authorization-policies", one.type, one.namespace, one.labels, root, *map(Same, configs))
    return work.memo(key, lambda: _selected(work, [policy for space in configs for policy in space]))


def _selected(work: Compilation, policies: list[Policy]) -> Policies | None:
    one, root = work.proxy_class, work.mesh.root_namespace
    found = tuple(policy for policy in policies if is_target(policy.object, one, root))
    return Policies(found) if found else None


def is_dry_run(policy: Policy) -> bool:
    """Whether it only tells what it would do; a word that is no truth value enforces."""
    return policy.object.metadata.annotations.get(DRY_RUN, "") in _TRUE
