"""The facts of a network namespace: its addresses and DNS servers, and the numbers of users and groups."""

import ctypes
import fcntl
import grp
import ipaddress
import os
import pwd
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.capture.config import HostFacts
from envoy_bootstrap.core.resolv_conf import parse_resolv_conf

_PATIENCE = 30.0
"""Seconds to wait for another run: it takes a second or two."""
_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET of sched.h."""


def enter_network_namespace(path: str) -> None:
    """Go on in another network namespace, this thread and what it starts; FAILED_PRECONDITION when it cannot be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        detail = f"the network namespace {path} cannot be opened: {error.strerror}"
        raise MeshError(ErrorCode.FAILED_PRECONDITION, detail) from None
    try:
        if libc.setns(descriptor, _NEW_NETWORK) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"the network namespace {path} cannot be entered: {reason}")
    finally:
        os.close(descriptor)


@contextmanager
def only_one_here() -> Iterator[None]:
    """Nobody else changes rules in this network namespace meanwhile; UNAVAILABLE when somebody does not end.

    The lock is on the namespace itself: two that find nothing and write at once would undo each other.
    """
    with open("/proc/self/ns/net", "rb") as namespace:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(namespace, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    detail = "somebody else has been changing rules in this network namespace"
                    raise MeshError(ErrorCode.UNAVAILABLE, f"{detail} for {_PATIENCE:.0f} s") from None
                time.sleep(0.05)
        yield


def host_facts(envoy_user: str, resolv_conf: Path = Path("/etc/resolv.conf")) -> HostFacts:
    """What is here; a resolv.conf that is not there names no server."""
    try:
        uid = str(pwd.getpwnam(envoy_user).pw_uid)
    except KeyError:
        uid = None
    text = resolv_conf.read_text(errors="replace") if resolv_conf.exists() else ""
    return HostFacts(tuple(addresses_of("self")), parse_resolv_conf(text).servers, uid)


def find_network_namespace(addresses: Collection[str]) -> str | None:
    """The file of the network namespace, other than this one, that has one of these addresses; None without any.

    Namespaces are those of the processes that this one sees: a node's, when it has the node's process ids.
    """
    seen = {_namespace("self")}
    for process in (path.name for path in Path("/proc").iterdir() if path.name.isdigit()):
        inode = _namespace(process)
        if inode in seen or inode is None:
            continue
        seen.add(inode)
        # another process may have got the number meanwhile
        if set(addresses_of(process)) & set(addresses) and _namespace(process) == inode:
            return f"/proc/{process}/ns/net"
    return None


def _namespace(process: str) -> int | None:
    try:
        return os.stat(f"/proc/{process}/ns/net").st_ino
    except OSError:
        return None


def owner_numbers(users: Iterable[str], groups: Iterable[str]) -> dict[str, str]:
    """`uid:name` and `gid:name` of users and groups that are named; INVALID for one that is not there."""
    found, missing = {}, []
    for kind, names in (("uid", users), ("gid", groups)):
        for name in names:
            if name.isdigit():
                continue
            try:
                number = pwd.getpwnam(name).pw_uid if kind == "uid" else grp.getgrnam(name).gr_gid
            except KeyError:
                missing.append(f"there is no {'user' if kind == 'uid' else 'group'} {name}")
            else:
                found[f"{kind}:{name}"] = str(number)
    if missing:
        raise MeshError(ErrorCode.INVALID, "; ".join(missing))
    return found


def addresses_of(process: str) -> Iterator[str]:
    """Of both families in a process's network namespace, without those that only that machine or its links know."""
    own = ""
    for line in _lines(process, "fib_trie"):
        # a leaf of the tree, then what it is: addresses of this machine are local hosts
        word = line.strip()
        if word.startswith("|-- "):
            own = word.removeprefix("|-- ")
        elif word == "/32 host LOCAL" and _is_reachable(own):
            yield own
    for line in _lines(process, "if_inet6"):
        text = str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
        if _is_reachable(text):
            yield text


def _lines(process: str, name: str) -> list[str]:
    try:
        return Path(f"/proc/{process}/net/{name}").read_text().splitlines()
    except OSError:
        return []


def _is_reachable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    # ::6 is the proxy's own, on the loopback interface
    return not (address.is_loopback or address.is_link_local or address == ipaddress.ip_address("::6"))
