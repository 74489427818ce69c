"""A stock gRPC server in a process of its own, which xDS tells how to serve at its address: it answers with the names
in the certificates of its callers. It ends with its input."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


def get(_, context):
    names = context.auth_context().get("x509_subject_alternative_name", [])
    return b",".join(name for name in names if name.startswith(b"spiffe://")) or b"nobody"


server = grpc.server(ThreadPoolExecutor(2), xds=True)
methods = {"Get": grpc.unary_unary_rpc_method_handler(get)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Reviews", methods),))
server.add_secure_port(sys.argv[1], grpc.xds_server_credentials(grpc.insecure_server_credentials()))
server.start()
print("started", flush=True)
sys.stdin.read()
server.stop(None)
