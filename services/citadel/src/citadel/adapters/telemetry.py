"""Citadel's metrics, with the names of Istio's authority."""

from datetime import UTC, datetime

from cryptography import x509
from meshcore import metrics

REQUESTS = metrics.counter("citadel_server_csr_count", "The number of CSRs received by Citadel server.")
AUTHENTICATION_FAILURES = metrics.counter(
    "citadel_server_authentication_failure_count", "The number of authentication failures."
)
PARSING_ERRORS = metrics.counter(
    "citadel_server_csr_parsing_err_count", "The number of errors occurred when parsing the CSR."
)
IDENTITY_ERRORS = metrics.counter(
    "citadel_server_id_extraction_err_count",
    "The number of errors occurred when extracting the ID from a presented certificate.",
)
SIGNING_ERRORS = metrics.counter(
    "citadel_server_csr_sign_err_count", "The number of errors occurred when signing the CSR.", ["error"]
)
ISSUED = metrics.counter(
    "citadel_server_success_cert_issuance_count", "The number of certificates issuances that have succeeded."
)
LATENCY = metrics.histogram(
    "citadel_server_issuance_seconds",
    "Time from the request to the durable certificate.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
TRUST_DOMAIN_MISMATCH = metrics.gauge(
    "citadel_server_trust_domain_mismatch", "1 while MeshConfig names another trust domain than this authority has."
)
ACCESS_STORED = metrics.counter("citadel_audit_records_total", "Access records stored.")
ACCESS_LOST = metrics.counter(
    "citadel_audit_records_lost_total", "Access records that agents had to drop, as they report it."
)
ACCESS_REFUSED = metrics.counter("citadel_audit_batches_refused_total", "Batches not taken.", ["reason"])
ACCESS_FORGOTTEN = metrics.counter(
    "citadel_audit_records_forgotten_total", "Access records deleted for their age or their number.", ["reason"]
)
ACCESS_STORE_FAILURES = metrics.counter(
    "citadel_audit_store_failures_total", "Transactions of the access log that failed."
)
PLUGGED_IN_REFUSED = metrics.counter(
    "citadel_server_plugged_in_refused_count", "Changes of a plugged-in authority that were refused."
)
LIMITED = metrics.counter("citadel_server_rate_limited_count", "Requests refused because a caller asked too often.")
_ROOT_EXPIRY = metrics.gauge(
    "citadel_server_root_cert_expiry_timestamp", "The unix timestamp, in seconds, when Citadel root cert will expire."
)
_ROOT_EXPIRY_SECONDS = metrics.gauge(
    "citadel_server_root_cert_expiry_seconds", "The time remaining, in seconds, before Citadel root cert will expire."
)
_CHAIN_EXPIRY = metrics.gauge(
    "citadel_server_cert_chain_expiry_timestamp",
    "The unix timestamp, in seconds, when Citadel cert chain will expire.",
)
_CHAIN_EXPIRY_SECONDS = metrics.gauge(
    "citadel_server_cert_chain_expiry_seconds", "The time remaining, in seconds, before Citadel cert chain will expire."
)


def show_expiry(root: x509.Certificate, signer: x509.Certificate) -> None:
    """Set the expiry gauges; the remaining times are read when they are scraped."""
    for certificate, moment, remaining in (
        (root, _ROOT_EXPIRY, _ROOT_EXPIRY_SECONDS),
        (signer, _CHAIN_EXPIRY, _CHAIN_EXPIRY_SECONDS),
    ):
        end = certificate.not_valid_after_utc.timestamp()
        moment.set(end)
        remaining.set_function(lambda end=end: end - datetime.now(UTC).timestamp())  # type: ignore[misc]
