"""Bytes of the two protocols: requests read, answers put together from resources that were packed once.

A field of a message may stand anywhere in it, so an answer is its small fields and one field per resource.
"""

from google.protobuf.message import DecodeError
from meshcore._generated.istio.mcp.v1alpha1 import mcp_pb2
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds import sotw, wire

from galley.core.mcp.effects import Push, Request

RESOURCE_TYPE = "type.googleapis.com/istio.mcp.v1alpha1.Resource"


def parse_mcp_request(data: bytes) -> Request:
    """Read a RequestResources; INVALID when it is none."""
    try:
        message = mcp_pb2.RequestResources.FromString(data)
    except DecodeError as error:
        raise MeshError(ErrorCode.INVALID, "the message is no RequestResources") from error
    failed = message.HasField("error_detail")
    return Request(
        topic=message.collection,
        nonce=message.response_nonce,
        error=(message.error_detail.code, message.error_detail.message) if failed else None,
        incremental=message.incremental,
        known=dict(message.initial_resource_versions),
    )


def parse_xds_request(data: bytes) -> Request:
    """Read a DiscoveryRequest; INVALID when it is none."""
    try:
        request, _ = sotw.parse(data)
    except DecodeError as error:
        raise MeshError(ErrorCode.INVALID, "the message is no DiscoveryRequest") from error
    refused = request.rejection
    return Request(request.type_url, request.nonce, None if refused is None else (refused.code, refused.message))


def mcp_frame(push: Push) -> bytes:
    """The Resources message of an answer."""
    head = mcp_pb2.Resources(
        system_version_info=push.version,
        collection=push.topic,
        removed_resources=push.removed,
        nonce=push.nonce,
        incremental=push.incremental,
    )
    framed: bytes = head.SerializeToString()
    return framed + b"".join(wire.chunk(3, entry.body) for entry in push.entries)


def xds_frame(push: Push) -> bytes:
    """The DiscoveryResponse of an answer, its type URL as it was asked for."""
    head = wire.text(1, push.version) + wire.text(4, push.topic) + wire.text(5, push.nonce)
    return head + b"".join(wire.chunk(2, wire.packed(RESOURCE_TYPE, entry.body)) for entry in push.entries)
