"""The facts of a network namespace: its addresses and DNS servers, and the numbers of users and groups."""

import ctypes
import grp
import ipaddress
import os
import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.core.capture.config import HostFacts

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


def host_facts(envoy_user: str, resolv_conf: Path = Path("/etc/resolv.conf")) -> HostFacts:
    """What is here; a resolv.conf that is not there names no server."""
    try:
        uid = str(pwd.getpwnam(envoy_user).pw_uid)
    except KeyError:
        uid = None
    text = resolv_conf.read_text(errors="replace") if resolv_conf.exists() else ""
    return HostFacts(tuple(_addresses()), tuple(_servers(text)), uid)


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


def _addresses() -> Iterator[str]:
    """Of both families, without those that only this machine or its links know."""
    routed = Path("/proc/self/net/fib_trie")
    own = ""
    for line in routed.read_text().splitlines() if routed.exists() else ():
        # a leaf of the tree, then what it is: addresses of this machine are local hosts
        word = line.strip()
        if word.startswith("|-- "):
            own = word.removeprefix("|-- ")
        elif word == "/32 host LOCAL" and _is_reachable(own):
            yield own
    known = Path("/proc/self/net/if_inet6")
    for line in known.read_text().splitlines() if known.exists() else ():
        text = str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
        if _is_reachable(text):
            yield text


def _is_reachable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    # ::6 is the proxy's own, on the loopback interface
    return not (address.is_loopback or address.is_link_local or address == ipaddress.ip_address("::6"))


def _servers(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1])
            except ValueError:
                continue
            yield words[1]
