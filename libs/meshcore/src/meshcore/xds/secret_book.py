"""Secrets that config refers to, as Envoy gets them: read from the data of a Secret, kept at their last good form.

Everything here is in memory only; nothing of it is part of a compiled set, of a debug page or of the disk copy. Pure.

A key pair is `tls.crt` and `tls.key`, or `cert` and `key`, with an OCSP response in `tls.ocsp-staple` if there is one;
a root is `ca.crt` or `cacert`; revocations are `ca.crl` or `crl`; credentials of registries are `.dockerconfigjson`,
served as a generic secret. What cannot be used leaves a `problem`, and what was
used before stays in use. Of a Secret that is deleted nothing is served any more: an Envoy that has it goes on with it,
one that starts does not get it (as with Istio).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import is_

from cryptography import x509
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from meshcore.key_pair import pair_fault, staple_fault
from meshcore.pem import count_certificates
from meshcore.xds.resource import PackedResource, Resources
from meshcore.xds.secret_names import SecretReference, secret_reference
from meshcore.xds.types import SECRET_TYPE

SecretName = tuple[str, str]
"""(namespace, name) of a Secret object."""


@dataclass(frozen=True, slots=True)
class SecretState:
    """What is known of one Secret object; `data` None: there is none that may be had, and `why` says so.

    `deleted` tells one that is gone from one that cannot be read now.
    """

    version: str = ""
    data: Mapping[str, bytes] | None = field(default=None, repr=False)
    why: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class _Served:
    """A secret as it is served: `resource` is the last good one, `problem` what is wrong with the newest."""

    resource: PackedResource | None = None
    problem: str = ""
    made_of: tuple[SecretState | None, ...] | None = None


@dataclass
class SecretBook:
    """All Secrets that were asked for. `generation` moves with whatever may be served otherwise than before."""

    generation: int = 0
    _objects: dict[SecretName, SecretState] = field(default_factory=dict, repr=False)
    _served: dict[tuple[str, str], _Served] = field(default_factory=dict, repr=False)
    """By name of the resource and namespace of who asks."""

    def take(self, name: SecretName, state: SecretState) -> bool:
        """What a Secret is now; whether that is news."""
        before = self._objects.get(name)
        if before == state:
            return False
        if state.data is None and not state.deleted and before is not None and before.data is not None:
            # It cannot be read now: the last good form goes on, as with any config.
            state = replace(before, why=state.why)
        self._objects[name] = state
        self.generation += 1
        return True

    def at(self, revision: int) -> frozenset[SecretName]:
        """The Secrets whose newest form is of that revision."""
        version = str(revision)
        return frozenset(name for name, state in self._objects.items() if state.version == version)

    def forget(self, names: frozenset[SecretName]) -> None:
        """Nobody's config refers to these any more."""
        for name in names:
            self._objects.pop(name, None)
        kept = {key: item for key, item in self._served.items() if not names & _objects_of(*key)}
        self._served = kept

    def resources(self, names: frozenset[str], namespace: str) -> Resources:
        """What a proxy of that namespace is served of these names: those that it may have and that are there."""
        found = {}
        for name in sorted(names):
            served = self._current(name, namespace)
            if served.resource is not None:
                found[name] = served.resource
        return found

    def problems(self, names: frozenset[str], namespace: str) -> dict[str, str]:
        """What is wrong with the secrets of these names."""
        found = {name: self._current(name, namespace).problem for name in sorted(names)}
        return {name: problem for name, problem in found.items() if problem}

    def _current(self, name: str, namespace: str) -> _Served:
        reference = permitted(name, namespace)
        if reference is None:
            return _Served(problem="a proxy gets secrets of its own namespace only")
        states = tuple(self._objects.get((reference.namespace, one)) for one in reference.names)
        before = self._served.get((name, namespace), _Served())
        if before.made_of is not None and all(map(is_, before.made_of, states)):
            return before
        made = self._made(name, reference, states)
        gone = all(state is not None and state.deleted for state in states)
        if before.resource is not None and (made.resource == before.resource or (made.resource is None and not gone)):
            made = replace(made, resource=before.resource)
        self._served[name, namespace] = made
        return made

    def _made(self, name: str, reference: SecretReference, states: tuple[SecretState | None, ...]) -> _Served:
        where = f"Secret {reference.namespace}/{reference.names[-1]}"
        present = next((state for state in states if state is not None and state.data is not None), None)
        if present is None or present.data is None:
            why = next((state.why for state in states if state is not None and state.why), "not known yet")
            return _Served(None, f"{where}: {why}", states)
        read = root_secret if reference.ca else _registries if reference.pull else _key_pair
        made = read(name, present.data)
        if isinstance(made, str):
            return _Served(None, f"{where}: {made}", states)
        problem = f"{where}: {present.why}" if present.why else ""
        return _Served(PackedResource.pack(SECRET_TYPE, name, made), problem, states)


def permitted(name: str, namespace: str) -> SecretReference | None:
    """The Secrets that a resource's name means, if a proxy with a proven identity of that namespace may have them."""
    reference = secret_reference(name, namespace)
    return reference if reference is not None and reference.namespace == namespace else None


def _objects_of(name: str, namespace: str) -> frozenset[SecretName]:
    reference = permitted(name, namespace)
    return frozenset((reference.namespace, one) for one in reference.names) if reference is not None else frozenset()


def _first(data: Mapping[str, bytes], *keys: str) -> bytes:
    return next((data[key] for key in keys if data.get(key)), b"")


def _key_pair(name: str, data: Mapping[str, bytes]) -> secret_pb2.Secret | str:
    """The message, or in words why there is none; never with a byte of the content."""
    chain, key = _first(data, "tls.crt", "cert"), _first(data, "tls.key", "key")
    if not chain or not key:
        return "it has no key pair (tls.crt and tls.key, or cert and key)"
    fault = pair_fault(chain, key)
    if fault:
        return fault
    made = secret_pb2.Secret(name=name)
    made.tls_certificate.certificate_chain.inline_bytes = chain
    made.tls_certificate.private_key.inline_bytes = key
    if staple := data.get("tls.ocsp-staple", b""):
        if fault := staple_fault(chain, staple):
            return fault
        made.tls_certificate.ocsp_staple.inline_bytes = staple
    return made


def _registries(name: str, data: Mapping[str, bytes]) -> secret_pb2.Secret | str:
    document = data.get(".dockerconfigjson", b"")
    if not document:
        return "it has no credentials of registries (.dockerconfigjson)"
    made = secret_pb2.Secret(name=name)
    made.generic_secret.secret.inline_bytes = document
    return made


def root_secret(name: str, data: Mapping[str, bytes]) -> secret_pb2.Secret | str:
    """The message of a root with its revocations, or in words why there is none."""
    root, revoked = _first(data, "cacert", "ca.crt"), _first(data, "crl", "ca.crl")
    if not root:
        return "it has no root (ca.crt or cacert)"
    if not count_certificates(root):
        return "its root is no PEM certificate"
    made = secret_pb2.Secret(name=name)
    made.validation_context.trusted_ca.inline_bytes = root
    if revoked:
        try:
            x509.load_pem_x509_crl(revoked)
        except ValueError:
            return "its revocation list is no PEM list"
        made.validation_context.crl.inline_bytes = revoked
    return made
