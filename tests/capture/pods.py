"""Pods without containers: network namespaces on a bridge, each with an address of its own.

The host is `.1` of the network. A pod's application runs as root, its proxy as uid and gid 1337, as the rules expect.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROXY = 1337


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Pod:
    def __init__(self, network: PodNetwork, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.namespace = f"{network.prefix}-{name}"
        self.link = f"{network.prefix}v{address.rsplit('.', 1)[-1]}"

    def inside(self, *command: str) -> list[str]:
        """The command line that runs `command` in the pod as its application."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def as_proxy(self, *command: str) -> list[str]:
        """The same as the proxy's user, who may read this checkout wherever it lies."""
        readable = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        user = (f"--reuid={PROXY}", f"--regid={PROXY}", "--clear-groups")
        return self.inside("setpriv", *user, *readable, *command)

    def curl(self, url: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = self.inside("curl", "-sS", "-m", "5", "-w", "\n%{http_code}", *options, url)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


class PodNetwork:
    """One bridge and its pods; leaves nothing behind."""

    def __init__(self) -> None:
        number = os.getpid() % 200 + 20
        self.prefix = f"mc{os.getpid() % 100000}"
        self.subnet = f"10.98.{number}"
        self.host = f"{self.subnet}.1"
        self._bridge = f"{self.prefix}br"
        self._pods: list[Pod] = []

    def up(self) -> None:
        run("ip", "link", "add", self._bridge, "type", "bridge", "forward_delay", "0")
        run("ip", "address", "add", f"{self.host}/24", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")
        if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
            # a container engine's rules may drop what crosses a bridge that is not theirs
            run("iptables", "-w", "-I", "FORWARD", *self._crossing)

    @property
    def _crossing(self) -> tuple[str, ...]:
        return ("-i", self._bridge, "-o", self._bridge, "-j", "ACCEPT")

    def add(self, name: str) -> Pod:
        pod = Pod(self, name, f"{self.subnet}.{10 + len(self._pods)}")
        run("ip", "netns", "add", pod.namespace)
        self._pods.append(pod)
        run("ip", "link", "add", pod.link, "type", "veth", "peer", "name", "eth0", "netns", pod.namespace)
        run("ip", "link", "set", pod.link, "master", self._bridge, "up")
        run(*pod.inside("ip", "link", "set", "lo", "up"))
        run(*pod.inside("ip", "address", "add", f"{pod.address}/24", "dev", "eth0"))
        run(*pod.inside("ip", "link", "set", "eth0", "up"))
        # a service's virtual address needs no route of its own: its packets never leave
        run(*pod.inside("ip", "route", "add", "default", "via", self.host))
        return pod

    def down(self) -> None:
        for pod in self._pods:
            for pid in run("ip", "netns", "pids", pod.namespace, check=False).split():
                run("kill", "-KILL", pid, check=False)
            # the kernel would take its time to remove the link of a namespace that is gone
            run("ip", "link", "delete", pod.link, check=False)
            run("ip", "netns", "delete", pod.namespace, check=False)
        run("iptables", "-w", "-D", "FORWARD", *self._crossing, check=False)
        run("ip", "link", "delete", self._bridge, check=False)
