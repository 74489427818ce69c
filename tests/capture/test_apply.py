"""The command that captures, in a network namespace of its own: with both kinds of iptables, in both modes, again, over
what others have and what went wrong before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pods import as_proxy

pytestmark = [pytest.mark.capture, pytest.mark.timeout(120)]

ALL = ("-u", "1337,nobody", "-g", "1337", "-i", "10.0.0.0/8,fd00::1/8", "-x", "10.9.0.1/16", "-b", "*", "-d", "15021")
MORE = ("-o", "99", "-q", "5432", "-c", "net1", "-k", "virt0,virt1", "--redirect-dns", "--capture-all-dns")
OPTIONS = (*ALL, *MORE, "--drop-invalid", "--dual-stack")
both_kinds = pytest.mark.parametrize("scratch", ["nft", "legacy"], indirect=True)
SERVER = """
import select, socket
def bound(family, address):
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((address, 15053))
    return udp
servers = [bound(socket.AF_INET, "127.0.0.1"), bound(socket.AF_INET6, "::1")]
print("ready", flush=True)
while True:
    for udp in select.select(servers, [], [])[0]:
        data, caller = udp.recvfrom(512)
        udp.sendto(b"captured " + data, caller)
"""
QUERY = """
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(float(sys.argv[2]))
    udp.connect((sys.argv[1], 53))
    udp.send(b"who")
    print(udp.recv(512).decode())
"""


@both_kinds
@pytest.mark.parametrize("mode", ["REDIRECT", "TPROXY"])
def test_attack_46_a_second_run_changes_nothing_and_cleaning_up_leaves_nothing(scratch, mode):
    options = (*OPTIONS, "-m", mode)
    groups = {"ISTIO_OUTBOUND_OWNER_GROUPS": "daemon,202"}
    first = scratch.told(*options, "--run-validation", **groups)
    assert (first.returncode, "connections are captured" in first.stderr) == (0, True), first.stderr
    state = scratch.state()
    again = scratch.told(*options, "--run-validation", **groups)
    assert (again.returncode, "nothing to do" in again.stderr) == (0, True), again.stderr
    assert scratch.state() == state
    forced = scratch.told(*options, "--force-apply", **groups)
    assert (forced.returncode, scratch.state()) == (0, state), forced.stderr
    # as the other mode's settings would, too
    gone = scratch.told(*OPTIONS, "-m", "REDIRECT" if mode == "TPROXY" else "TPROXY", "--cleanup-only", **groups)
    assert gone.returncode == 0, gone.stderr
    left = scratch.state()
    assert "4444" in left
    rules = left.replace("it\\'s -j ISTIO_OUTPUT", "")
    assert ("ISTIO" in rules, "CONNMARK" in rules, "net1" in rules, "virt" in rules, "::6/" in rules) == (False,) * 5
    assert scratch.told("--skip-rule-apply", "--run-validation", "--probe-timeout", "500ms").returncode == 126


@both_kinds
def test_routes_of_tproxy_are_there_once_and_go(scratch):
    options = ("-b", "*", "-m", "TPROXY", "--dual-stack")
    for _ in range(2):
        assert scratch.told(*options).returncode == 0
    assert scratch.state().count("fwmark 0x539 lookup 133") == 2
    assert scratch.told(*options, "--cleanup-only").returncode == 0
    assert "fwmark" not in scratch.state()


@both_kinds
def test_rules_that_differ_are_told_and_replaced_only_when_that_is_wanted(scratch):
    assert scratch.told(*OPTIONS).returncode == 0
    right = scratch.rules()
    scratch.inside(f"ip6tables-{scratch.kind}", "-t", "nat", "-D", "ISTIO_OUTPUT", "1")
    drifted = scratch.state()
    refused = scratch.told(*OPTIONS)
    assert (refused.returncode, scratch.state()) == (1, drifted)
    assert "IPv6 table nat has other rules in ISTIO_OUTPUT" in refused.stderr
    mended = scratch.told(*OPTIONS, "--reconcile")
    assert mended.returncode == 0, mended.stderr
    # rules of others may now be before ours, and tables there that have nothing
    assert sorted(scratch.rules()) == sorted(right)
    assert scratch.told(*OPTIONS).stderr.startswith("nothing to do")


@both_kinds
def test_attack_46_a_run_that_was_killed_halfway_is_made_good(scratch):
    options = (*OPTIONS, "-m", "TPROXY")
    whole = scratch.told(*options, "--dry-run").stdout
    mangle = whole[whole.index("*mangle") : whole.index("*nat")]
    guard = "*filter\n-N ISTIO_GUARD\n-A ISTIO_GUARD -p tcp -j DROP\n-I OUTPUT 1 -j ISTIO_GUARD\nCOMMIT\n"
    scratch.inside(f"iptables-{scratch.kind}-restore", "--noflush", stdin=mangle + guard)
    done = scratch.told(*options, "--run-validation")
    assert done.returncode == 0, done.stderr
    assert "GUARD" not in scratch.state()
    assert scratch.told(*options).stderr.startswith("nothing to do")


@both_kinds
def test_attack_46_of_several_at_once_one_applies_and_the_others_find_it_done(scratch):
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: scratch.told(*OPTIONS), range(4)))
    assert [run.returncode for run in done] == [0] * 4, [run.stderr for run in done]
    assert sorted("nothing to do" in run.stderr for run in done) == [False, True, True, True]


@both_kinds
def test_attack_46_foreign_and_hostile_texts_leave_everything_as_it_was(scratch):
    before = scratch.state()
    for options in (("-d", "80 -j ACCEPT"), ("-x", "*"), ("-k", "eth0 -j"), ("-u", "no-such-user"), ("-i", "10.0.0.0")):
        done = scratch.told(*ALL, *options)
        assert (done.returncode, done.stdout, scratch.state()) == (1, "", before)
    done = scratch.told(ISTIO_LOCAL_EXCLUDE_PORTS="80\nCOMMIT\n*filter\n-P INPUT DROP")
    assert (done.returncode, "ISTIO_LOCAL_EXCLUDE_PORTS" in done.stderr, scratch.state()) == (1, True, before)


@contextmanager
def programs(directory: Path, replaced: Mapping[str, str]) -> Iterator[str]:
    """A PATH of all programs of xtables and `ip`, where some are others or are not there."""
    for name in os.listdir("/usr/sbin"):
        (directory / name).unlink(missing_ok=True)
        if name == "ip" or "tables-" in name:
            target = replaced.get(name, f"/usr/sbin/{name}")
            if target:
                (directory / name).symlink_to(target)
    (directory / "ip").unlink(missing_ok=True)
    (directory / "ip").symlink_to(str(shutil.which("ip")))
    yield str(directory)


@both_kinds
def test_attack_46_without_ip6tables_or_when_it_fails_nothing_is_half_applied(scratch, tmp_path):
    before = scratch.rules()
    names = [f"ip6tables-{scratch.kind}-{part}" for part in ("save", "restore")]
    for case, replaced in enumerate((dict.fromkeys(names, ""), {names[1]: str(shutil.which("false"))})):
        directory = tmp_path / str(case)
        directory.mkdir()
        with programs(directory, replaced) as path:
            done = scratch.told(*ALL, "--dual-stack", PATH=path)
        assert (done.returncode, "ip6tables" in done.stderr) == (1, True), done.stderr
        assert scratch.rules() == before
    # nor is what was there half replaced, or the guard left
    assert scratch.told(*ALL, "--dual-stack").returncode == 0
    scratch.inside(f"iptables-{scratch.kind}", "-t", "nat", "-D", "ISTIO_OUTPUT", "1")
    drifted = scratch.rules()
    with programs(tmp_path / "1", {names[1]: str(shutil.which("false"))}) as path:
        done = scratch.told(*ALL, "--dual-stack", "--reconcile", PATH=path)
    assert (done.returncode, sorted(scratch.rules())) == (1, sorted(drifted)), done.stderr


@both_kinds
def test_dns_is_led_to_the_agent_s_port_but_for_the_proxy_s_own(scratch):
    done = scratch.told("-i", "*", "--redirect-dns", "--capture-all-dns", "--dual-stack")
    assert done.returncode == 0, done.stderr
    agent = ("ip", "netns", "exec", scratch.name, *as_proxy(), sys.executable, "-c")
    with subprocess.Popen([*agent, SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            for address in ("10.96.0.10", "fd96::10"):
                assert scratch.inside(sys.executable, "-c", QUERY, address, "10") == "captured who\n"
            own = subprocess.run([*agent, QUERY, "10.96.0.10", "0.5"], capture_output=True, text=True, check=False)
            assert "timed out" in own.stderr
        finally:
            server.kill()


def test_meshctl_prints_what_would_be_applied():
    command = [sys.executable, "-m", "meshctl", "iptables", "-p", "15001", "-b", "80", "-i", "*", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "-A ISTIO_INBOUND -p tcp --dport 80 -j ISTIO_IN_REDIRECT\n" in done.stdout
    wrong = subprocess.run([*command, "-z", "http"], capture_output=True, text=True, check=False, timeout=60)
    assert (wrong.returncode, wrong.stdout, "--inbound-capture-port" in wrong.stderr) == (1, "", True)
