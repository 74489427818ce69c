"""Which files are the workload's certificate, and what they must hold."""

import pytest
from envoy_bootstrap.core.file_secrets import Contents
from envoy_bootstrap.core.mounted import CREDENTIALS, OLDER, mounted_files, mounted_identity
from meshcore.testing.identity import make_ca

FILES = ("cert-chain.pem", "key.pem", "root-cert.pem")
CA, MESH = make_ca("files"), make_ca("mesh")
PAIR = CA.issue("spiffe://cluster.local/ns/shop/sa/front")
CLIENT = {"TLS_CLIENT_CERT_CHAIN": "/c.pem", "TLS_CLIENT_KEY": "/k.pem", "TLS_CLIENT_ROOT_CERT": "/r.pem"}


def whole(folder: str) -> set[str]:
    return {f"{folder}/{name}" for name in FILES}


@pytest.mark.parametrize(
    ("there", "forced", "metadata", "chain"),
    [
        (set(), False, {}, None),
        (set(), False, CLIENT, None),
        (whole(CREDENTIALS), False, {}, f"{CREDENTIALS}/cert-chain.pem"),
        (whole(CREDENTIALS) | whole(OLDER), True, CLIENT, f"{CREDENTIALS}/cert-chain.pem"),
        (whole(CREDENTIALS) - {f"{CREDENTIALS}/key.pem"}, False, {}, None),
        (whole(OLDER), False, {}, f"{OLDER}/cert-chain.pem"),
        (whole(OLDER) - {f"{OLDER}/root-cert.pem"}, False, {}, None),
        (set(), True, {}, f"{OLDER}/cert-chain.pem"),
        (whole(OLDER), True, CLIENT, "/c.pem"),
        (set(), True, {"TLS_CLIENT_KEY": "/k.pem"}, f"{OLDER}/cert-chain.pem"),
    ],
)
def test_which_files_count(there, forced, metadata, chain):
    found = mounted_files(forced=forced, metadata=metadata, exists=there.__contains__)
    assert (found and found.chain) == chain


def test_a_pair_of_files_believes_their_root_and_the_meshs():
    found = mounted_identity(Contents(chain=PAIR.chain, key=PAIR.key.pem, root=CA.root_pem), MESH.root_pem)
    assert (found.chain, found.key.pem, found.root) == (PAIR.chain, PAIR.key.pem, CA.root_pem + MESH.root_pem)


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (Contents(chain=PAIR.chain, key=PAIR.key.pem), "missing"),
        (Contents(chain=PAIR.chain, root=CA.root_pem), "missing"),
        (Contents(chain=PAIR.chain, key=CA.issue(None).key.pem, root=CA.root_pem), "not the key of the certificate"),
        (Contents(chain=PAIR.chain, key=PAIR.key.pem, root=b"root"), "the root is not PEM"),
    ],
)
def test_what_does_not_fit_is_no_identity(contents, why):
    assert why in mounted_identity(contents, MESH.root_pem)
