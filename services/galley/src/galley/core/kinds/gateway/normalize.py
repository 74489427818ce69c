"""A Gateway's hosts with their namespace."""

from meshcore.model.gateway import Gateway, Server

from galley.core.kind_rules import Naming

_ANY_NAMESPACE = "*"
_OWN_NAMESPACE = "."


def normalize(gateway: Gateway, _: Naming) -> Gateway:
    """`host` is `*/host`, and `./host` is of the gateway's own namespace."""
    servers = tuple(_server(server, gateway.metadata.namespace) for server in gateway.spec.servers)
    return gateway.model_copy(update={"spec": gateway.spec.model_copy(update={"servers": servers})})


def _server(server: Server, namespace: str) -> Server:
    return server.model_copy(update={"hosts": tuple(_host(host, namespace) for host in server.hosts)})


def _host(host: str, namespace: str) -> str:
    place, slash, name = host.partition("/")
    if not slash:
        return f"{_ANY_NAMESPACE}/{host}"
    return f"{namespace if place == _OWN_NAMESPACE else place}/{name}"
