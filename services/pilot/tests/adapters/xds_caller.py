"""A stock gRPC client in a process of its own: one call for each line of its input, which is a header's value. With
`mtls` as its second word it speaks whatever TLS xDS tells it."""

import sys

import grpc
from grpc.experimental import insecure_channel_credentials

target, *words = sys.argv[1:]
if "mtls" in words:
    channel = grpc.secure_channel(target, grpc.xds_channel_credentials(insecure_channel_credentials()))
else:
    channel = grpc.insecure_channel(target)
call = channel.unary_unary("/shop.Reviews/Get")
for line in sys.stdin:
    try:
        print(call(b"", metadata=[("x-user", line.strip())], timeout=60, wait_for_ready=False).decode(), flush=True)
    except grpc.RpcError as error:
        print(error.code().name, " ".join((error.details() or "").split()), flush=True)
