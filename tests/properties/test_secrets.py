"""Whatever a Secret holds, Envoy takes what Pilot makes of it, or Pilot sends nothing."""

from collections.abc import Iterator, Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from google.protobuf import any_pb2
from hypothesis import given
from hypothesis import strategies as st
from meshcore.testing.authorities import crl_pem, make_authority
from meshcore.testing.envoy_checker import EnvoyChecker, envoy_checker
from meshcore.testing.identity import make_ca
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.secret_book import SecretBook, SecretState
from meshcore.xds.types import CLUSTER_TYPE

from tests.properties.long_runs import EXAMPLES, LIMIT, examples

_CA, _OTHER = make_ca("one"), make_ca("another")
_PAIR, _SECOND = _CA.issue(None, dns=["a.test"]), _OTHER.issue(None, dns=["b.test"])
_ROOT = make_authority("root")
_SMALL = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
_ODD = [b"", b"\xff\x00", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
_CHAINS = st.sampled_from(
    [_PAIR.chain, _SECOND.chain, _PAIR.chain + _CA.root_pem, _CA.root_pem + _PAIR.chain, _PAIR.chain + b"x", *_ODD]
)
_KEYS = st.sampled_from([_PAIR.key.pem, _SECOND.key.pem, _SMALL, _PAIR.key.pem + _SECOND.key.pem, *_ODD])
_ROOTS = st.sampled_from([_CA.root_pem, _CA.root_pem + _ROOT.pem, _PAIR.chain, _ROOT.pem + b"x", *_ODD])
_LISTS = st.sampled_from([crl_pem(_ROOT, [7]), crl_pem(_ROOT) + crl_pem(_ROOT), _CA.root_pem, *_ODD])
_SECRETS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("tls.crt", "cert"), _CHAINS),
        **dict.fromkeys(("tls.key", "key"), _KEYS),
        **dict.fromkeys(("ca.crt", "cacert"), _ROOTS),
        **dict.fromkeys(("ca.crl", "crl"), _LISTS),
    },
)


@pytest.fixture(scope="module")
def checker(tmp_path_factory) -> Iterator[EnvoyChecker]:
    with envoy_checker(tmp_path_factory.mktemp("secrets")) as running:
        yield running


def using(secrets: list[secret_pb2.Secret]) -> ResourceSet:
    """A cluster whose TLS has them in it."""
    context = tls_pb2.UpstreamTlsContext()
    for secret in secrets:
        if secret.HasField("tls_certificate"):
            context.common_tls_context.tls_certificates.add().CopyFrom(secret.tls_certificate)
        else:
            context.common_tls_context.validation_context.CopyFrom(secret.validation_context)
    cluster = cluster_pb2.Cluster(name="tls", type=cluster_pb2.Cluster.STATIC, connect_timeout={"seconds": 1})
    cluster.transport_socket.name = "envoy.transport_sockets.tls"
    packed = any_pb2.Any()
    packed.Pack(context)
    cluster.transport_socket.typed_config.CopyFrom(packed)
    return ResourceSet({CLUSTER_TYPE: {"tls": PackedResource.pack(CLUSTER_TYPE, "tls", cluster)}})


@pytest.mark.timeout(LIMIT)
@examples(EXAMPLES * 5)
@given(_SECRETS)
def test_envoy_takes_whatever_is_served_of_a_secret(checker: EnvoyChecker, data: Mapping[str, bytes]):
    book = SecretBook()
    book.take(("shop", "cert"), SecretState("1", data))
    served = book.resources(frozenset({"kubernetes://cert", "kubernetes://cert-cacert"}), "shop")
    secrets = [secret_pb2.Secret.FromString(item.body) for item in served.values()]
    assert checker.refusals(using(secrets)) == []
