"""A GET for a URL that somebody wrote down: its address is resolved here, checked, and dialled as it was checked, so a
name that changes its mind in between changes nothing."""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import httpx

from meshcore.fetch_guard import Network, is_forbidden

_SCHEMES = ("http", "https")


class OutOfBounds(Exception):
    """Why a URL is not dialled, in words for its author."""


async def guarded_get(client: httpx.AsyncClient, url: httpx.URL, blocked: Iterable[Network] = ()) -> httpx.Request:
    """To the address that was checked, for the host that was named; OutOfBounds when no address may be dialled.

    OSError when the name has no address. `blocked` is out of bounds beyond what always is.
    """
    if url.scheme not in _SCHEMES or not url.host:
        raise OutOfBounds("it is no http or https URL")
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    allowed = [str(item[4][0]) for item in found if not is_forbidden(str(item[4][0]), blocked)]
    if not allowed:
        raise OutOfBounds(f"the address of {url.host} is out of bounds")
    headers = {"host": url.netloc.decode("ascii")}
    extensions: dict[str, Any] = {} if _is_address(url.host) else {"sni_hostname": url.host}
    dialled = url.copy_with(host=allowed[0], userinfo=b"")
    return client.build_request("GET", dialled, headers=headers, extensions=extensions)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
