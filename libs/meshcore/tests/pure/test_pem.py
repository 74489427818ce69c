"""PEM texts: counted, or refused whole."""

import pytest
from meshcore.pem import count_certificates, joined_certificates
from meshcore.testing.identity import make_ca

ONE, OTHER = make_ca().root_pem, make_ca("other").root_pem


@pytest.mark.parametrize(
    ("pem", "count"),
    [
        (ONE, 1),
        (b"# a comment\n" + ONE + b"\n" + OTHER, 2),
        (ONE.replace(b"\n", b"\r\n"), 1),
        (b"", 0),
        (b"hello", 0),
        (ONE[:-30], 0),
        (ONE + OTHER[:100], 0),
        (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", 0),
        (b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", 0),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0),
        (ONE + b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", 2),
        (ONE + b"-----BEGIN CERTIFICATE-----\nMIAA\n-----END CERTIFICATE-----\n", 0),
    ],
)
def test_what_is_counted(pem: bytes, count: int) -> None:
    assert count_certificates(pem) == count


def test_bundles_are_joined_without_twins() -> None:
    windows = ONE.replace(b"\n", b"\r\n")
    assert joined_certificates(ONE + OTHER, b"# a comment\n" + windows, b"") == ONE + OTHER
