"""Metrics of MCP, under Istio's names. Collections come from our own table; what else a peer may name is `other`."""

from meshcore import metrics

from galley.core.mcp.kinds import COLLECTIONS, kind_of_type

CLIENTS = metrics.gauge("istio_mcp_clients_total", "Streams that are open now.")
MESSAGE_SIZES = metrics.histogram(
    "istio_mcp_message_sizes_bytes",
    "Sizes of the answers that were sent.",
    ("collection",),
    buckets=(100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000),
)
ACKS = metrics.counter("istio_mcp_request_acks_total", "Answers that a peer has taken.", ("collection",))
NACKS = metrics.counter("istio_mcp_request_nacks_total", "Answers that a peer refused.", ("collection", "code"))
SEND_FAILURES = metrics.counter("istio_mcp_send_failures_total", "Answers that could not be sent.")
RECEIVE_FAILURES = metrics.counter("istio_mcp_recv_failures_total", "Streams that broke or sent what is no request.")
RECONNECTIONS = metrics.counter("istio_mcp_reconnections", "Streams to the sink that were begun again.")
LEFT_OUT = metrics.gauge("galley_mcp_unpackable_objects", "Objects that do not fit the message of their kind.")


def collection_label(topic: str) -> str:
    """A topic as a label value of a bounded set."""
    if topic in COLLECTIONS:
        return topic
    kind = kind_of_type(topic)
    return "other" if kind is None else f"{kind.group}/{kind.kind}"


def code_label(code: int) -> str:
    """A google.rpc code as a label value."""
    return str(code) if 0 <= code <= 16 else "other"
