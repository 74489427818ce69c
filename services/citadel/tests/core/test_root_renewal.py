from datetime import UTC, datetime, timedelta

import pytest
from citadel.core.authority import make_root, renewed_root
from citadel.core.root_renewal import renewal_due
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIFE = timedelta(days=100)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_a_renewed_root_has_the_key_and_name_of_the_former_one_and_each_verifies_the_others_leaves(key):
    root = make_root(key, "mesh.example", LIFE, NOW, 1)
    later = renewed_root(root, LIFE, NOW + 90 * timedelta(days=1), 2)
    assert later.certificate.subject == root.certificate.subject
    assert later.key_id == root.key_id
    assert later.certificate.not_valid_after_utc == NOW + timedelta(days=190)
    later.certificate.verify_directly_issued_by(root.certificate)
    root.certificate.verify_directly_issued_by(later.certificate)


def test_a_root_is_renewed_in_the_last_fifth_of_its_life():
    root = make_root(ec.generate_private_key(ec.SECP256R1()), "mesh.example", LIFE, NOW, 1).certificate
    assert not renewal_due(root, NOW + timedelta(days=79))
    assert renewal_due(root, NOW + timedelta(days=80))
    assert not renewal_due(root, NOW + timedelta(days=94), percentile=5)
    assert renewal_due(root, NOW, percentile=100)
