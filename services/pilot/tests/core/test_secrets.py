"""Secrets as Envoy gets them: read, kept at their last good form, and for the right proxies only."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from meshcore.distribution.events import FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.testing.authorities import ocsp_der
from meshcore.testing.identity import make_ca
from meshcore.xds import delta
from meshcore.xds.resource import ResourceSet
from meshcore.xds.secret_book import SecretBook, SecretState, permitted
from meshcore.xds.types import SECRET_TYPE
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.node import parse_node

OTHER_CA = make_ca("another authority")
CA = make_ca()
PAIR, OTHER = CA.issue(None, dns=["a.test"]), CA.issue(None, dns=["b.test"])
GOOD = {"tls.crt": PAIR.chain, "tls.key": PAIR.key.pem}
NAME = "kubernetes://cert"
NODE = {"id": "router~10.1.0.30~ingress-1.edge~edge.svc.cluster.local", "metadata": {"NAMESPACE": "edge"}}


def book(data: Mapping[str, bytes] | None, name: str = "cert") -> SecretBook:
    made = SecretBook()
    made.take(("edge", name), SecretState("1", data))
    return made


def served(made: SecretBook, name: str = NAME, namespace: str = "edge") -> secret_pb2.Secret | None:
    found = made.resources(frozenset({name}), namespace)
    return secret_pb2.Secret.FromString(found[name].body) if name in found else None


def _signed_by(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    """A Secret with a certificate of that key, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {"tls.crt": builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), "tls.key": pem}


def _of_unknown_key() -> dict[str, bytes]:
    """A certificate whose key is of a kind that nobody knows: the OID of EC keys with its last arc changed."""
    made = _signed_by(ec.generate_private_key(ec.SECP256R1()))
    der = ssl.PEM_cert_to_DER_cert(made["tls.crt"].decode()).replace(
        b"\x2a\x86\x48\xce\x3d\x02\x01", b"*\x86H\xce=\x02\x09"
    )
    return made | {"tls.crt": ssl.DER_cert_to_PEM_cert(der).encode()}


@pytest.mark.parametrize("keys", [("tls.crt", "tls.key"), ("cert", "key")])
def test_both_forms_of_a_key_pair(keys: tuple[str, str]) -> None:
    found = served(book(dict(zip(keys, (PAIR.chain, PAIR.key.pem), strict=True))))
    assert found is not None
    assert found.tls_certificate.certificate_chain.inline_bytes == PAIR.chain
    assert found.tls_certificate.private_key.inline_bytes == PAIR.key.pem


@pytest.mark.parametrize("key", ["ca.crt", "cacert"])
@pytest.mark.parametrize("holder", ["cert", "cert-cacert"])
def test_the_root_of_the_secret_or_of_its_sibling(key: str, holder: str) -> None:
    found = served(book({key: CA.root_pem}, holder), "kubernetes://cert-cacert")
    assert found is not None
    assert found.validation_context.trusted_ca.inline_bytes == CA.root_pem


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "no key pair"),
        ({"tls.crt": PAIR.chain}, "no key pair"),
        ({"tls.crt": b"x", "tls.key": PAIR.key.pem}, "no PEM certificate"),
        ({"tls.crt": PAIR.chain, "tls.key": b"x"}, "no PEM key"),
        ({"tls.crt": PAIR.chain, "tls.key": OTHER.key.pem}, "not the key of the certificate"),
        ({"tls.crt": PAIR.chain + PAIR.chain[:100], "tls.key": PAIR.key.pem}, "no PEM certificate"),
        (_of_unknown_key(), "cannot be read"),
        (_signed_by(rsa.generate_private_key(65537, 1024)), "Envoy takes RSA keys from 2048 bits"),
        (_signed_by(ec.generate_private_key(ec.SECP256K1())), "Envoy takes RSA keys from 2048 bits"),
    ],
)
def test_what_cannot_be_used_is_told_and_the_last_good_form_stays(data: Mapping[str, bytes], why: str) -> None:
    fresh = book(data)
    assert served(fresh) is None
    assert why in fresh.problems(frozenset({NAME}), "edge")[NAME]
    known = book(GOOD)
    before = known.resources(frozenset({NAME}), "edge")[NAME]
    known.take(("edge", "cert"), SecretState("2", data))
    assert known.resources(frozenset({NAME}), "edge")[NAME] is before
    assert why in known.problems(frozenset({NAME}), "edge")[NAME]
    known.take(("edge", "cert"), SecretState("3", GOOD))
    assert known.problems(frozenset({NAME}), "edge") == {}


def test_a_secret_that_cannot_be_read_now_stays_in_use() -> None:
    known = book(GOOD)
    assert served(known) is not None
    known.take(("edge", "cert"), SecretState("", None, "Galley cannot decrypt it"))
    assert served(known) is not None
    assert "Galley cannot decrypt it" in known.problems(frozenset({NAME}), "edge")[NAME]


def test_a_secret_that_is_deleted_is_served_no_more_until_there_is_one_again() -> None:
    known = book(GOOD)
    assert served(known) is not None
    known.take(("edge", "cert"), SecretState("", None, "there is none", deleted=True))
    assert served(known) is None
    assert "there is none" in known.problems(frozenset({NAME}), "edge")[NAME]
    known.take(("edge", "cert"), SecretState("7", GOOD))
    assert served(known) is not None


def test_of_two_secrets_for_a_root_the_one_that_is_left_counts() -> None:
    known, name = book({"ca.crt": CA.root_pem}, "cert-cacert"), "kubernetes://cert-cacert"
    assert served(known, name) is not None
    known.take(("edge", "cert"), SecretState("1", {"cacert": OTHER_CA.root_pem}))
    known.take(("edge", "cert-cacert"), SecretState("", None, "there is none", deleted=True))
    found = served(known, name)
    assert found is not None
    assert found.validation_context.trusted_ca.inline_bytes == OTHER_CA.root_pem


def test_the_same_content_again_is_no_news() -> None:
    known = book(GOOD)
    generation = known.generation
    assert not known.take(("edge", "cert"), SecretState("1", dict(GOOD)))
    assert known.generation == generation


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("kubernetes://cert", True),
        ("kubernetes://edge/cert", True),
        ("kubernetes://shop/cert", False),
        ("kubernetes://shop/cert-cacert", False),
        ("kubernetes://", False),
        ("kubernetes://a/b/c", False),
        ("kubernetes-gateway://edge/cert", False),
        ("file-cert:/a~/b", False),
        ("default", False),
    ],
)
def test_a_proxy_gets_what_is_of_its_namespace(name: str, allowed: bool) -> None:
    assert (permitted(name, "edge") is not None) is allowed
    known = book(GOOD)
    known.take(("shop", "cert"), SecretState("1", GOOD))
    assert (served(known, name) is not None) is allowed


def test_nothing_of_it_is_shown() -> None:
    known = book(GOOD)
    known.resources(frozenset({NAME}), "edge")
    assert b"PRIVATE" not in repr(known).encode()
    assert "PRIVATE" not in repr(known.resources(frozenset({NAME}), "edge"))


def test_an_ocsp_response_goes_with_its_certificate_and_no_other() -> None:
    staple = ocsp_der(PAIR.certificate, CA)
    found = served(book({**GOOD, "tls.ocsp-staple": staple}))
    assert found is not None
    assert found.tls_certificate.ocsp_staple.inline_bytes == staple
    assert served(book({**GOOD, "tls.ocsp-staple": b""})) is not None
    for odd in (ocsp_der(OTHER.certificate, CA), staple[:-20], b"x"):
        wrong = book({**GOOD, "tls.ocsp-staple": odd})
        assert served(wrong) is None
        assert "OCSP response" in wrong.problems(frozenset({NAME}), "edge")[NAME]


CONFIG_MAP = "configmap://shop/roots"


def with_roots(root: str | None) -> FullState:
    if root is None:
        return FullState("s", 1, "", {})
    key = Key("", "configmaps", "shop", "roots")
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "roots", "namespace": "shop"}}
    document["data"] = {"ca.crt": root}
    return FullState("s", 1, "", {key: make_record(kv_key(*key), "s", 1, document, "", datetime.now(UTC))})


@pytest.mark.parametrize("root", [None, "x", CA.root_pem.decode()])
def test_a_root_of_a_config_map_is_had_from_any_namespace_with_or_without_a_right(root: str | None) -> None:
    mesh = Mesh(CONFIG_MAP)
    mesh.engine.rights.guarded = True
    mesh.engine.take_state(with_roots(root), 0)
    proven, claimed = mesh.connect(IDENTITY), mesh.connect("")
    good = root is not None and root != "x"
    assert set(mesh.engine.target(proven).of_type(SECRET_TYPE)) == ({CONFIG_MAP} if good else set())
    assert mesh.engine.target(claimed).of_type(SECRET_TYPE) == {}
    assert mesh.engine.wanted_secrets() == {}
    problem = mesh.engine.secret_problems().get((CONFIG_MAP, "edge"), "")
    assert problem == {
        None: "there is no such ConfigMap",
        "x": "ConfigMap shop/roots: its root is no PEM certificate",
    }.get(root, "")


class Mesh:
    """An engine whose every class refers to one secret."""

    def __init__(self, name: str = NAME) -> None:
        made = ResourceSet(MappingProxyType({}), (), frozenset({name}))
        self.engine = Engine(lambda *_: made, lambda *_: True, Debounce(0, 0))

    def connect(self, identity: str):
        return self.engine.connect(replace(parse_node(NODE), identity=identity), delta, "", 0)


IDENTITY = "spiffe://cluster.local/ns/edge/sa/ingress"


def test_only_a_proven_proxy_asks_and_is_served() -> None:
    mesh = Mesh()
    proven, claimed = mesh.connect(IDENTITY), mesh.connect("")
    assert mesh.engine.target(proven).of_type(SECRET_TYPE) == {}
    assert mesh.engine.wanted_secrets() == {("edge", "cert"): {IDENTITY}}
    mesh.engine.take_secret(("edge", "cert"), SecretState("1", GOOD), 0)
    assert set(mesh.engine.target(proven).of_type(SECRET_TYPE)) == {NAME}
    assert mesh.engine.target(claimed).of_type(SECRET_TYPE) == {}
    assert mesh.engine.compiled(proven).of_type(SECRET_TYPE) == {}, "what is looked at has no secret in it"


def test_a_change_is_pushed_to_those_who_use_it() -> None:
    mesh = Mesh()
    stream = mesh.connect(IDENTITY)
    mesh.engine.target(stream)
    mesh.engine.take_secret(("edge", "other"), SecretState("1", GOOD), 0)
    assert mesh.engine.release_pushes() == []
    mesh.engine.take_secret(("edge", "cert"), SecretState("1", GOOD), 0)
    assert mesh.engine.release_pushes() == [stream.number]
    taken = mesh.engine.take_push(stream)
    assert taken is not None
    assert set(taken[1].of_type(SECRET_TYPE)) == {NAME}


def test_nobody_is_left_who_wants_it() -> None:
    mesh = Mesh()
    stream = mesh.connect(IDENTITY)
    mesh.engine.target(stream)
    mesh.engine.disconnect(stream)
    assert mesh.engine.wanted_secrets() == {}


def test_an_agent_that_asks_has_its_proxys_secrets_and_no_config() -> None:
    mesh = Mesh()
    agent = mesh.engine.connect(replace(parse_node(NODE), identity=IDENTITY, generator="agent"), delta, "", 0)
    claimed = mesh.engine.connect(replace(parse_node(NODE), generator="agent"), delta, "", 0)
    mesh.engine.take_secret(("edge", "cert"), SecretState("1", GOOD), 0)
    assert mesh.engine.target(agent).of_type(SECRET_TYPE) == {}
    assert mesh.engine.wanted_secrets() == {}, "nobody asks for it yet"
    for stream in (agent, claimed):
        mesh.engine.keep_secrets(stream)
    assert set(mesh.engine.target(agent).of_type(SECRET_TYPE)) == {NAME}
    assert mesh.engine.target(claimed).of_type(SECRET_TYPE) == {}
    assert mesh.engine.wanted_secrets() == {("edge", "cert"): {IDENTITY}}
    assert mesh.engine.find("ingress.edge") is None, "it is no proxy"
    mesh.engine.release_pushes()
    mesh.engine.take_secret(("edge", "cert"), SecretState("2", {**GOOD, "ca.crt": b"x"}), 0)
    assert agent.number in mesh.engine.release_pushes()
    mesh.engine.disconnect(agent)
    mesh.engine.disconnect(claimed)
    assert (mesh.engine.wanted_secrets(), mesh.engine.configs.given) == ({}, {})


def test_a_revision_of_secrets_waits_for_who_uses_them() -> None:
    mesh = Mesh()
    user, stranger = mesh.connect(IDENTITY), mesh.connect(IDENTITY.replace("edge", "books"))
    for stream in (user, stranger):
        mesh.engine.target(stream)
    mesh.engine.take_secret_revision(7)
    assert mesh.engine.receipts.answer(7).decided, "it changed nothing that is used here"
    mesh.engine.take_secret(("edge", "cert"), SecretState("8", GOOD), 0)
    mesh.engine.take_secret_revision(8)
    assert mesh.engine.receipts.answer(8).count == 2, "both are of the namespace that their node names"
    for stream in (user, stranger):
        mesh.engine.target(stream)
        mesh.engine.receipts.taken(stream.number, stream.target_generation, 1.0)
    answer = mesh.engine.receipts.answer(8)
    assert (answer.decided, answer.acked) == (True, 2)
