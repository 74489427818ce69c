"""Pods without containers: network namespaces on a bridge, each with an address of its own in both families.

The host is `.1` and `::1` of the network. A pod's application runs as root, its proxy as uid and gid 1337, as the rules
expect; with TPROXY as root with that gid, since transparent sockets and marks are for who administers the network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROXY = 1337
UNCAPTURED_INBOUND = 9100
NAMES = ("a.wild.example", "b.other.example")
"""Names of the host that every pod can look up."""
_CONVERSATION = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as connection:
    stream = connection.makefile("rwb")
    print(stream.readline().decode().strip(), flush=True)
    for line in sys.argv[3:]:
        stream.write(line.encode() + b"\\n"); stream.flush()
        print(stream.readline().decode().strip(), flush=True)
"""
_HELLO = """
import socket, ssl, sys
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
context = ssl._create_unverified_context()
begun = context.wrap_bio(incoming, outgoing, server_hostname=sys.argv[3])
try:
    begun.do_handshake()
except ssl.SSLWantReadError:
    pass
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as connection:
    connection.sendall(outgoing.read())
    print(connection.makefile("rb").readline().decode(errors="replace"))
"""


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def as_proxy(user: int = PROXY) -> list[str]:
    """What begins a command line of the proxy's user, who may read this checkout wherever it lies."""
    readable = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ["setpriv", f"--reuid={user}", f"--regid={PROXY}", "--clear-groups", *readable]


class Pod:
    def __init__(self, network: PodNetwork, name: str, address: str, address6: str) -> None:
        self.name, self.address, self.address6 = name, address, address6
        self.namespace = f"{network.prefix}-{name}"
        self.files = Path("/etc/netns") / self.namespace
        self.link = f"{network.prefix}v{address.rsplit('.', 1)[-1]}"

    def inside(self, *command: str) -> list[str]:
        """The command line that runs `command` in the pod as its application."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def as_proxy(self, *command: str, user: int = PROXY) -> list[str]:
        return self.inside(*as_proxy(user), *command)

    def capture(self, *options: str) -> str:
        """What an injected pod's init container does, and what it says."""
        told = ("-p", "15001", "-z", "15006", "-u", str(PROXY), "-i", "*", "-x", "", "-b", "*")
        left_out = ("-d", f"15090,15021,15020,{UNCAPTURED_INBOUND}")
        return run(*self.inside(sys.executable, "-m", "envoy_bootstrap", "istio-iptables", *told, *left_out, *options))

    def curl(self, url: str, *options: str, through: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """`through` begins the command line."""
        command = self.inside(*through, "curl", "-gsS", "-m", "5", "-w", "\n%{http_code}", *options, url)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def converse(self, address: str, port: int, *lines: str) -> list[str]:
        """Dial, read what the server says first, send each line and read its answer; what was heard until the end."""
        done = subprocess.run(
            self.inside(sys.executable, "-c", _CONVERSATION, address, str(port), *lines),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.splitlines()

    def say_hello(self, address: str, port: int, name: str) -> str:
        """Dial, begin TLS with that server name, and what comes back in the first line, TLS or not."""
        done = subprocess.run(
            self.inside(sys.executable, "-c", _HELLO, address, str(port), name),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip()


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the application says that reached it; nothing unless it answered 200."""
    body, _, status = done.stdout.rpartition("\n")
    return json.loads(body) if status == "200" else {}


class PodNetwork:
    """One bridge and its pods; leaves nothing behind."""

    def __init__(self) -> None:
        number = os.getpid() % 200 + 20
        self.prefix = f"mc{os.getpid() % 100000}"
        self.subnet = f"10.98.{number}"
        self.host = f"{self.subnet}.1"
        self.subnet6 = f"fd98:{number:x}::"
        self.host6 = f"{self.subnet6}1"
        self._bridge = f"{self.prefix}br"
        self._pods: list[Pod] = []

    def up(self) -> None:
        run("ip", "link", "add", self._bridge, "type", "bridge", "forward_delay", "0")
        run("ip", "address", "add", f"{self.host}/24", "dev", self._bridge)
        run("ip", "address", "add", f"{self.host6}/64", "dev", self._bridge, "nodad")
        run("ip", "link", "set", self._bridge, "up")
        if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
            # a container engine's rules may drop what crosses a bridge that is not theirs
            for tables in ("iptables", "ip6tables"):
                run(tables, "-w", "-I", "FORWARD", *self._crossing)

    @property
    def _crossing(self) -> tuple[str, ...]:
        return ("-i", self._bridge, "-o", self._bridge, "-j", "ACCEPT")

    def add(self, name: str) -> Pod:
        number = 10 + len(self._pods)
        pod = Pod(self, name, f"{self.subnet}.{number}", f"{self.subnet6}{number}")
        pod.files.mkdir(parents=True)
        # what `ip netns exec` shows in /etc
        (pod.files / "hosts").write_text("".join(f"{self.host} {name}\n" for name in NAMES))
        # a name server that is not there: names that are found are found by the agent
        (pod.files / "resolv.conf").write_text(f"nameserver {self.host}\nnameserver {self.host6}\n")
        run("ip", "netns", "add", pod.namespace)
        self._pods.append(pod)
        run("ip", "link", "add", pod.link, "type", "veth", "peer", "name", "eth0", "netns", pod.namespace)
        run("ip", "link", "set", pod.link, "master", self._bridge, "up")
        run(*pod.inside("ip", "link", "set", "lo", "up"))
        run(*pod.inside("ip", "address", "add", f"{pod.address}/24", "dev", "eth0"))
        run(*pod.inside("ip", "address", "add", f"{pod.address6}/64", "dev", "eth0", "nodad"))
        run(*pod.inside("ip", "link", "set", "eth0", "up"))
        # a service's virtual address needs no route of its own: its packets never leave
        run(*pod.inside("ip", "route", "add", "default", "via", self.host))
        run(*pod.inside("ip", "-6", "route", "add", "default", "via", self.host6))
        return pod

    def down(self) -> None:
        for pod in self._pods:
            for pid in run("ip", "netns", "pids", pod.namespace, check=False).split():
                run("kill", "-KILL", pid, check=False)
            # the kernel would take its time to remove the link of a namespace that is gone
            run("ip", "link", "delete", pod.link, check=False)
            run("ip", "netns", "delete", pod.namespace, check=False)
            shutil.rmtree(pod.files, ignore_errors=True)
        for tables in ("iptables", "ip6tables"):
            run(tables, "-w", "-D", "FORWARD", *self._crossing, check=False)
        run("ip", "link", "delete", self._bridge, check=False)
