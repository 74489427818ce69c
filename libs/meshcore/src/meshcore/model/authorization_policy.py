"""AuthorizationPolicy: who may do what at a workload (security.istio.io).

No rules and an empty list of rules are not the same to every action, so absent lists are None here.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import MeshModel, StatusObject
from meshcore.model.cel import Cel
from meshcore.model.destination_rule import PolicySelector
from meshcore.model.policy_target import ONE_TARGET, PolicyTargetReference, TargetReferences


class Action(StrEnum):
    """What a matching request meets."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


_ACCOUNTS_ALONE = Cel(
    "(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) && "
    "!has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true",
    "Cannot set serviceAccounts with namespaces or principals",
    lambda source: (
        not source.model_fields_set & {"service_accounts", "not_service_accounts"}
        or not source.model_fields_set & {"principals", "not_principals", "namespaces", "not_namespaces"}
    ),
)
ServiceAccounts = Annotated[tuple[Annotated[str, Field(max_length=320)], ...], Field(max_length=16)]


class Source(MeshModel):
    """Where a request comes from; all that is set must hold, any value of a list is enough."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: ServiceAccounts = ()
    not_service_accounts: ServiceAccounts = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()
    cel = (_ACCOUNTS_ALONE,)


class Operation(MeshModel):
    """What a request asks for."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class From(MeshModel):
    """One source."""

    source: Source | None = None


class To(MeshModel):
    """One operation."""

    operation: Operation | None = None


class Condition(MeshModel):
    """A further attribute of the request and the values it may or may not have."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class Rule(MeshModel):
    """Matches when one of `from`, one of `to` and all of `when` do; without any of them, always."""

    from_: Annotated[tuple[From, ...] | None, Field(alias="from", max_length=512)] = None
    to: tuple[To, ...] | None = None
    when: tuple[Condition, ...] = ()


class Provider(MeshModel):
    """The extension provider (mesh config) that decides."""

    name: str = ""


class AuthorizationPolicySpec(MeshModel):
    """Targets, rules and the action."""

    selector: PolicySelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = ()
    rules: Annotated[tuple[Rule, ...] | None, Field(max_length=512)] = None
    action: Action = Action.ALLOW
    provider: Provider | None = None
    cel = (ONE_TARGET,)


class AuthorizationPolicy(StatusObject):
    """Who may do what."""

    spec: AuthorizationPolicySpec = AuthorizationPolicySpec()
