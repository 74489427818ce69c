"""Files as secrets: whole and fitting together, or not at all."""

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.file_secrets import Contents, file_secret, folders_of_node, outside
from meshcore.testing.identity import make_ca
from meshcore.xds.secret_names import FileReference, file_key_pair, file_reference, file_root

CA = make_ca()
PAIR, OTHER = CA.issue(None), CA.issue(None)
FILES = FileReference(chain="/c", key="/k")


def test_names_are_read_back():
    assert file_reference(file_key_pair("/a/c.pem", "/a/k.pem")) == FileReference(chain="/a/c.pem", key="/a/k.pem")
    assert file_reference(file_root("/a/ca.pem")) == FileReference(root="/a/ca.pem")
    assert file_reference(file_root("/ca.pem", "/crl.pem")) == FileReference(root="/ca.pem", revoked="/crl.pem")
    assert file_reference(file_root("")) == FileReference()
    for other in ("default", "ROOTCA", "kubernetes://a", "file-cert:/a", "file-root:"):
        assert file_reference(other) is None


def test_a_pair():
    found = file_secret("n", FILES, Contents(chain=PAIR.chain, key=PAIR.key.pem))
    assert isinstance(found, Versioned)
    secret = secret_pb2.Secret.FromString(found.body)
    assert (secret.name, secret.tls_certificate.certificate_chain.inline_bytes) == ("n", PAIR.chain)
    assert file_secret("n", FILES, Contents(chain=OTHER.chain, key=OTHER.key.pem)) != found


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (Contents(chain=PAIR.chain), "missing"),
        (Contents(key=PAIR.key.pem), "missing"),
        (Contents(chain=PAIR.chain[:100], key=PAIR.key.pem), "no PEM certificate"),
        (Contents(chain=PAIR.chain, key=b""), "no PEM key"),
        (Contents(chain=OTHER.chain, key=PAIR.key.pem), "not the key"),
    ],
)
def test_half_a_pair_is_none(contents, why):
    """Attack 20."""
    found = file_secret("n", FILES, contents)
    assert isinstance(found, str)
    assert why in found


def test_a_root_and_its_revocations():
    found = file_secret("n", FileReference(root="/r"), Contents(root=CA.root_pem))
    assert isinstance(found, Versioned)
    assert secret_pb2.Secret.FromString(found.body).validation_context.trusted_ca.inline_bytes == CA.root_pem
    assert isinstance(file_secret("n", FileReference(root="/r"), Contents(root=b"x")), str)
    listed = FileReference(root="/r", revoked="/l")
    assert isinstance(file_secret("n", listed, Contents(root=CA.root_pem)), str), "no list, no root"


def test_what_the_agents_own_environment_names_may_be_read() -> None:
    """Attack 20."""
    metadata = {
        "TLS_CLIENT_KEY": "/opt/keys/key.pem",
        "TLS_SERVER_ROOT_CERT": "/opt/roots/root.pem",
        "TLS_CLIENT_CERT_CHAIN": "./etc/certs/cert-chain.pem",
        "LABELS": {"a": "/b/c"},
    }
    folders = folders_of_node(metadata)
    assert folders == ("/opt/keys", "/opt/roots")
    assert outside(FileReference(root="/opt/roots/root.pem"), folders) == ""
    assert outside(FileReference(root="/opt/root.pem"), folders).startswith("caCertificates: /opt/root.pem is in no")
    assert outside(FileReference(root="/opt/roots-of-others/root.pem"), folders)
    assert outside(FileReference(), folders) == "", "the roots of the operating system"
