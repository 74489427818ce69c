"""What the kernel has, in the words of iptables-save, beside what it should have."""

import pytest
from envoy_bootstrap.core.capture.config import HostFacts, build_config
from envoy_bootstrap.core.capture.flags import read_flags
from envoy_bootstrap.core.capture.restore import (
    applied,
    applied_to_none,
    guarded,
    own_rules,
    removed,
    restored,
    unguarded,
)
from envoy_bootstrap.core.capture.rules import capture_rules
from envoy_bootstrap.core.capture.saved_rules import Ours, differences, meaning, parse_saved, saved_meaning

CONFIG = build_config(read_flags({"istio-service-cidr": "*", "istio-inbound-ports": "80"}, {}), HostFacts())
RULES = capture_rules(CONFIG, 4)
OURS = Ours(own_rules(CONFIG, 4), {})
FOREIGN = """-A PREROUTING -p tcp -m tcp --dport 4444 -m comment --comment "it\\'s -j ISTIO_OUTPUT" -j RETURN
-A OUTPUT -m mark --mark 0x1/0x1 -j DOCKER_OUTPUT
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -j DNAT --to-destination 127.0.0.11:41
"""


def in_force(*changes: tuple[str, str]) -> str:
    """As if the kernel gave back what it got, with other people's rules."""
    text = applied_to_none(RULES).replace("COMMIT", FOREIGN + "COMMIT").replace("-N ", ":")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return f"# by a tool\n{text}"


def found(text: str) -> list[tuple[str, bool, tuple[str, ...]]]:
    return [(part.table, part.is_absent, part.reasons) for part in differences(RULES, parse_saved(text), OURS, {})]


@pytest.mark.parametrize(
    ("given", "saved"),
    [
        ("-p tcp --dport 80 -j RETURN", "-A X -p tcp -m tcp --dport 80 -j RETURN"),
        ("-o lo -s 127.0.0.6/32 -j RETURN", "-A X -s 127.0.0.6/32 -o lo -j RETURN"),
        ("-j MARK --set-mark 1337", "-A X -j MARK --set-xmark 0x539/0xffffffff"),
        ("-p tcp -m mark ! --mark 1338 -j RETURN", "-A X -p tcp -m mark ! --mark 0x53a -j RETURN"),
        (
            "-p tcp -m connmark --mark 7 -j CONNMARK --restore-mark",
            "-A X -p tcp -m connmark --mark 0x7 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        ),
        (
            "! -d ::1/128 -p tcp -j TPROXY --tproxy-mark 7/0xffffffff --on-port 15006",
            "-A X ! -d ::1/128 -p tcp -j TPROXY --on-port 15006 --on-ip :: --tproxy-mark 0x7/0xffffffff",
        ),
        ("-d 10.1.2.3/8 -j RETURN", "-A X -d 10.0.0.0/8 -j RETURN"),
        ("-p udp -j REDIRECT --to-port 15053", "-A X -p udp -j REDIRECT --to-ports 15053"),
        ("-m owner ! --gid-owner java -j RETURN", "-A X -m owner ! --gid-owner 202 -j RETURN"),
        (
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A X -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        ),
    ],
)
def test_the_kernel_s_words_mean_what_was_said(given, saved):
    owners = {"gid:java": "202"}
    assert meaning(given.split(), owners) == saved_meaning(saved, owners)


@pytest.mark.parametrize("line", ['-A X -m comment --comment "open', "-A X --mark what -j Y", "-A X -s nobody"])
def test_lines_of_others_that_say_odd_things_are_not_ours(line):
    assert OURS.lines("nat", parse_saved(f"*nat\n:X\n{line}\n")["nat"]) == {}


def test_what_is_in_force_among_the_rules_of_others_is_right():
    assert found(in_force()) == [("nat", False, ())]


def test_nothing_of_ours_is_no_difference_of_others():
    assert found(f"*nat\n{FOREIGN}COMMIT\n*filter\n-A INPUT -j DROP\nCOMMIT\n") == [
        (
            "nat",
            True,
            tuple(
                f"table nat lacks {what} {chain}"
                for what, chain in (
                    ("the chain", "ISTIO_INBOUND"),
                    ("the chain", "ISTIO_IN_REDIRECT"),
                    ("the chain", "ISTIO_OUTPUT"),
                    ("the chain", "ISTIO_REDIRECT"),
                    ("our rules in", "OUTPUT"),
                    ("our rules in", "PREROUTING"),
                )
            ),
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("--dport 80 ", "--dport 81 ", "has other rules in ISTIO_INBOUND than it should"),
        ("-A OUTPUT -j ISTIO_OUTPUT\n", "", "lacks our rules in OUTPUT"),
        ("-A OUTPUT -j ISTIO_OUTPUT\n", "-A OUTPUT -j ISTIO_OUTPUT\n" * 2, "has other rules in OUTPUT than it should"),
        (
            "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
            "-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN",
            "has other rules in ISTIO_OUTPUT than it should",
        ),
        ("COMMIT", ":ISTIO_DROP\nCOMMIT", "has the chain ISTIO_DROP, which it should not"),
    ],
)
def test_drift_is_found_and_named(old, new, reason):
    assert found(in_force((old, new))) == [("nat", False, (f"table nat {reason}",))]


def test_what_is_replaced_and_taken_away_is_ours_alone():
    saved = parse_saved(in_force(("--dport 80 ", "--dport 81 ")))
    text = applied(RULES, ["nat"], saved, OURS)
    assert text.startswith("*nat\n-D PREROUTING -p tcp -j ISTIO_INBOUND\n-D OUTPUT -j ISTIO_OUTPUT\n")
    assert text.endswith(applied_to_none(RULES).removeprefix("*nat\n"))
    for gone in (text, removed(saved, OURS)):
        assert "DOCKER" not in gone
        assert "4444" not in gone


def test_a_failed_change_is_undone_to_what_was_there():
    before = parse_saved(in_force(("--dport 80 ", "--dport 81 ")))
    assert restored(before, before, OURS) == ""
    undo = restored(before, parse_saved(in_force()), OURS)
    assert "-A ISTIO_INBOUND -p tcp --dport 81 -j ISTIO_IN_REDIRECT\n" in undo
    assert restored({}, parse_saved(in_force()), OURS) == removed(parse_saved(in_force()), OURS)


def test_a_guard_that_was_left_is_taken_away_with_all_that_leads_to_it():
    left = parse_saved(guarded().replace("-N ", ":").replace(" 1 ", " ").replace("-I ", "-A "))
    assert unguarded(left).splitlines() == [
        "*filter",
        "-D INPUT -j ISTIO_GUARD",
        "-D FORWARD -j ISTIO_GUARD",
        "-D OUTPUT -j ISTIO_GUARD",
        "-F ISTIO_GUARD",
        "-X ISTIO_GUARD",
        "COMMIT",
    ]
    assert unguarded(parse_saved(in_force())) == ""
