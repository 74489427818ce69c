"""What galley knows of a kind besides its model: the shape of a folder of `galley.core.kinds`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.hosts import DEFAULT_DOMAIN, resolve_short_host

from galley.core.apply.structure import PLAIN, Structure
from galley.core.kube_api.tables import Column
from galley.core.rules.report import Report

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Naming:
    """What normalisation needs besides the object: the DNS domain of the mesh.

    MeshConfig is not part of it on purpose: its defaults are applied by who reads the object, so that a change of the
    mesh's config does not change every object.
    """

    domain: str = DEFAULT_DOMAIN

    def fqdn(self, host: str, namespace: str) -> str:
        """The full name of a host as config of that namespace means it."""
        return resolve_short_host(host, namespace, self.domain)


def _nothing_to_check(_: Any, __: Report) -> None:
    """For kinds whose schema says everything."""


def _as_it_is(value: Any, _: Naming) -> Any:
    return value


def _no_defaults(document: Document) -> Document:
    return document


@dataclass(frozen=True, slots=True)
class KindRules:
    """Everything kind-specific in galley."""

    group: str
    kind: str
    family: str = ""
    """The family whose test data stands for this kind, when its schema is shared; its own name otherwise."""
    validate: Callable[[Any, Report], None] = _nothing_to_check
    """Writes errors and warnings about one parsed object."""
    normalize: Callable[[Any, Naming], Any] = _as_it_is
    """The object that consumers get; twice is the same as once."""
    fill_defaults: Callable[[Document], Document] = _no_defaults
    """Defaults that the API server writes into the stored document and that clients read there."""
    columns: tuple[Column, ...] = ()
    """Columns of its table, between Name and Age."""
    strategic_merge_keys: Mapping[str, str] | None = None
    """Merge keys of its lists; None means that strategic patches are refused, as for custom resources."""
    structure: Structure = PLAIN
    """How its values come apart for the ownership of fields."""
    confidential: bool = False
    """Its data may be stored only encrypted, is never published, and is shown to nobody who may only look."""
    keeps_history: bool = True
    """False for endpoints: only the latest matters."""
    unconditional_update: bool = False
    """Whether a PUT without a resourceVersion is allowed (the last write wins)."""
    answers_deletion_with_object: bool = False
    """Whether a DELETE is answered with the object that was there, as typed clients expect of some kinds, rather than
    with a Status."""
    initial_status: Mapping[str, Any] | None = None
    """The status that a new object starts with."""
