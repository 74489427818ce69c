"""The same command with nftables: its tables are its own, and are replaced whole."""

from __future__ import annotations

import shutil

import pytest
from control_plane import wait_until
from pods import answer
from scratch import Scratch

from conftest import CAPTURE

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

NATIVE = ("--native-nftables", "--dual-stack", "-b", "*", "-d", "15021", "-u", "1337,nobody", "-g", "1337")
MORE = ("-i", "10.0.0.0/8,fd00::/8", "-x", "10.9.0.0/16", "-o", "99", "-q", "5432", "-c", "net1", "-k", "virt0,virt1")
OPTIONS = (*NATIVE, *MORE, "--redirect-dns", "--capture-all-dns", "--drop-invalid")


def tables(scratch: Scratch) -> str:
    """What is there of ours, without counters."""
    assert shutil.which("nft"), "install nftables"
    return scratch.inside("nft", "-s", "list", "ruleset", "inet")


@pytest.mark.parametrize("mode", ["REDIRECT", "TPROXY"])
def test_rules_capture_are_replaced_by_the_same_and_go(scratch, mode):
    assert tables(scratch) == ""
    groups = {"ISTIO_OUTBOUND_OWNER_GROUPS": "daemon,202"}
    before = scratch.rules()
    first = scratch.told(*OPTIONS, "-m", mode, "--run-validation", **groups)
    assert (first.returncode, "connections are captured" in first.stderr) == (0, True), first.stderr
    state, routes = tables(scratch), scratch.state()
    again = scratch.told(*OPTIONS, "-m", mode, **groups)
    assert (again.returncode, tables(scratch), scratch.state()) == (0, state, routes), again.stderr
    assert scratch.rules() == before
    gone = scratch.told(*OPTIONS, "-m", mode, "--cleanup-only", **groups)
    assert (gone.returncode, tables(scratch), "fwmark" in scratch.state()) == (0, "", False), gone.stderr
    left = scratch.told("--skip-rule-apply", "--run-validation", "--probe-timeout", "500ms")
    assert left.returncode == 126


def test_other_settings_leave_nothing_of_the_old_ones_and_a_failure_leaves_the_old_ones(scratch):
    assert scratch.told(*OPTIONS, "-m", "TPROXY").returncode == 0
    assert scratch.told(*NATIVE, "-i", "*").returncode == 0
    state = tables(scratch)
    assert ("mangle" in state, "raw" in state, "5432" in state) == (False, False, False)
    assert scratch.told(*NATIVE, "-i", "*", "-u", "no-such-user").returncode == 1
    assert tables(scratch) == state


def test_a_workload_is_reached_and_calls_through_both_proxies(mesh):
    assert shutil.which("nft"), "install nftables"
    six = mesh.six
    six.capture(*CAPTURE, "--cleanup-only")
    try:
        six.capture(*CAPTURE, "--native-nftables")
        got = wait_until("six is reached", lambda: answer(mesh.client.curl("http://[fd96:77::12]/")))
        assert (got["workload"], got["client"]) == ("six", "::6")
        for address in ("fd96:77::12", "fd96:77::10"):
            got = wait_until(f"six calls {address}", lambda at=address: answer(six.curl(f"http://[{at}]/")))
            assert "URI=spiffe://cluster.local/ns/default/sa/six" in got["headers"]["x-forwarded-client-cert"]
        assert "x-forwarded-client-cert" not in answer(six.curl("http://[::1]:8080/"))["headers"]
    finally:
        six.capture(*CAPTURE, "--native-nftables", "--cleanup-only")
        six.capture(*CAPTURE)


def test_by_tproxy_the_application_sees_who_calls(mesh):
    assert shutil.which("nft"), "install nftables"
    keeper = mesh.keeper
    mode = ("-m", "TPROXY", *CAPTURE)
    keeper.capture(*mode, "--cleanup-only")
    try:
        keeper.capture(*mode, "--native-nftables")
        got = wait_until("the service answers", lambda: answer(mesh.client.curl("http://10.96.77.11/")))
        assert (got["workload"], got["client"]) == ("keeper", mesh.client.address)
        assert "URI=spiffe://cluster.local/ns/default/sa/client" in got["headers"]["x-forwarded-client-cert"]
        for address, client in ((f"[{keeper.address6}]", mesh.client.address6), (keeper.address, mesh.client.address)):
            got = wait_until(f"{address} answers", lambda at=address: answer(mesh.client.curl(f"http://{at}:8080/")))
            assert got["client"] == client
        itself = wait_until("it reaches itself", lambda: answer(keeper.curl("http://10.96.77.11/")))
        assert itself["workload"] == "keeper"
    finally:
        keeper.capture(*mode, "--native-nftables", "--cleanup-only")
        keeper.capture(*mode)
