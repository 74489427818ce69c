"""A stock gRPC client in a process of its own: one call for each line of its input, which is a header's value."""

import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_unary("/shop.Reviews/Get")
for line in sys.stdin:
    try:
        print(call(b"", metadata=[("x-user", line.strip())], timeout=5).decode(), flush=True)
    except grpc.RpcError as error:
        print(error.code().name, error.details(), flush=True)
