"""A network namespace with an address of each family, in which nothing runs but the command that captures."""

from __future__ import annotations

import os
import subprocess
import sys

from pods import run

COMMAND = (sys.executable, "-m", "envoy_bootstrap.istio_iptables")
FOREIGN = ("-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "4444", "-m", "comment")
COMMENT = ("--comment", "it's -j ISTIO_OUTPUT", "-j", "RETURN")


class Scratch:
    """`kind` is the iptables that is used there: nft or legacy. Others have a rule there, with a misleading comment."""

    def __init__(self, kind: str) -> None:
        self.kind, self.name = kind, f"mc{os.getpid()}-s-{kind}"

    def up(self) -> None:
        run("ip", "netns", "add", self.name)
        for words in (
            "link set lo up",
            "link add eth0 type veth peer name eth1",
            "address add 10.77.0.2/24 dev eth0",
            "-6 address add fd77::2/64 dev eth0 nodad",
            "link set eth0 up",
            "link set eth1 up",
            "route add default dev eth0",
            "-6 route add default dev eth0",
        ):
            run("ip", "-n", self.name, *words.split())
        self.inside(f"iptables-{self.kind}", *FOREIGN, *COMMENT)

    def inside(self, *command: str, stdin: str | None = None) -> str:
        return run("ip", "netns", "exec", self.name, *command, stdin=stdin)

    def told(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What the command does when it is told this."""
        wish = ("--force-iptables-binary", self.kind)
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *COMMAND, *wish, *options],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def state(self) -> str:
        """Rules of both families, policy routes and addresses of the loopback interface, without counters."""
        saved = "".join(self.inside(f"{family}-{self.kind}-save") for family in ("iptables", "ip6tables"))
        kept = [line.split("[")[0] for line in saved.splitlines() if not line.startswith("#")]
        routes = (f"{family} {what}" for family in ("-4", "-6") for what in ("rule show", "address show dev lo"))
        return "\n".join((*kept, *(run("ip", "-n", self.name, *words.split()) for words in routes)))

    def rules(self) -> list[str]:
        return [line for line in self.state().splitlines() if line.startswith("-A")]

    def down(self) -> None:
        run("ip", "netns", "delete", self.name, check=False)
