"""A gRPC application without a proxy: it serves at `--host`, as xDS tells it, and answers with who calls it; asked with
a target, and a token behind it if one is to be shown, it calls that and passes the answer on."""

import argparse
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc.experimental import insecure_channel_credentials

PORT = 9090
WITHIN = 30.0


def named(context):
    names = context.auth_context().get("x509_subject_alternative_name", [])
    return b",".join(name for name in names if name.startswith(b"spiffe://")) or b"nobody"


class Names:
    def __init__(self):
        self._channels = {}

    def get(self, target, context):
        if not target:
            return named(context)
        target, _, token = target.partition(b" ")
        metadata = [("authorization", f"Bearer {token.decode()}")] if token else None
        if target not in self._channels:
            credentials = grpc.xds_channel_credentials(insecure_channel_credentials())
            self._channels[target] = grpc.secure_channel(f"xds:///{target.decode()}", credentials)
        try:
            return self._channels[target].unary_unary("/books.Names/Get")(b"", timeout=30, metadata=metadata)
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}".encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--plain-port", type=int, help="one for questions without TLS")
    words = parser.parse_args()
    begun = time.monotonic()
    while not Path(os.environ["GRPC_XDS_BOOTSTRAP"]).exists():
        if time.monotonic() - begun > WITHIN:
            raise SystemExit("there is no bootstrap")
        threading.Event().wait(0.05)
    methods = {"Get": grpc.unary_unary_rpc_method_handler(Names().get)}
    handler = grpc.method_handlers_generic_handler("books.Names", methods)
    servers = []
    if words.plain_port:
        servers.append(grpc.server(ThreadPoolExecutor(2)))
        servers[-1].add_insecure_port(f"{words.host}:{words.plain_port}")
    else:
        servers.append(grpc.server(ThreadPoolExecutor(2), xds=True))
        credentials = grpc.xds_server_credentials(grpc.insecure_server_credentials())
        servers[-1].add_secure_port(f"{words.host}:{PORT}", credentials)
    for server in servers:
        server.add_generic_rpc_handlers((handler,))
        server.start()
    for server in servers:
        server.wait_for_termination()


if __name__ == "__main__":
    main()
