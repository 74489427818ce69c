"""What `meshctl check` finds wrong, each thing by itself on a control plane that is well otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from meshctl.core import check
from meshctl.core.check import Answer, Level, Observed, Service, closing, document, findings, summary, tables

PAGE = Path(__file__).parents[4] / "docs" / "check.md"
SOURCE = Path(check.__file__).parent
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
IDENTITY = "spiffe://cluster.local/ns/istio-system/sa"
WORKLOAD = "spiffe://cluster.local/ns/default/sa/front sidecar~127.1.0.1~front.default"
ACKED = {"sent": "a", "acked": "a", "pending": False, "lastError": "", "heldBack": []}


def at(**ago: float) -> str:
    return (NOW - timedelta(**ago)).isoformat()


def life(before: timedelta, after: timedelta) -> dict[str, str]:
    return {"not_before": (NOW - before).isoformat(), "not_after": (NOW + after).isoformat()}


LEAF = life(timedelta(days=10), timedelta(days=20))
ROOT = {"subject": "O=cluster.local", **life(timedelta(days=100), timedelta(days=3500))}


def bound(name: str, value: float | None, reason: str = "because") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "things", "reason": reason}


def process(name: str, **config: Any) -> dict[str, Any]:
    served = {"source": "bus", "connected": True, "in_sync": True, "store": "s", "revision": 7, "generation": 9}
    served |= {"taken_at": at(hours=3), "as_of": at(seconds=2)} | config
    return {
        "pilot": name,
        "version": "0.1.0",
        "waits_for": {},
        "bounds": [bound("push_throttle", None), bound("admission_limit", 64)],
        "config": served,
        "proxies": {"connected": 1, "synced": 1, "refusing": 0, "starting": 0, "waiting": 0},
    }


def row(name: str = "front.default", version: str = "0.1.0", **resource: Any) -> dict[str, Any]:
    resources = {"cds": ACKED, "lds": ACKED | resource}
    return {"proxy": name, "istio_version": version, "synced": not resource, "resources": resources}


def service(name: str, **more: Answer) -> Service:
    made = Service(name, f"http://{name}", Answer({"ready": True}), Answer({"version": "0.1.0"}))
    return replace(made, **more)


def in_force(*processes: Mapping[str, Any], missing: tuple[str, ...] = ()) -> Answer:
    return Answer({"items": list(processes), "instances_missing": list(missing)})


def holder(name: str, serial: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "serial": serial, "connected": True, "current": True, "not_after": LEAF["not_after"]} | more


def well() -> Observed:
    """A control plane of which nothing is wrong."""
    names = ("galley", "pilot", "injector")
    ledger = [{"serial": name, "identity": f"{IDENTITY}/{name}", "issued_at": at(days=10), **LEAF} for name in names]
    ledger.append({"serial": "c", "identity": f"{IDENTITY}/citadel", "issued_at": at(days=10), **LEAF})
    ledger.append({"serial": "short", "identity": WORKLOAD.partition(" ")[0], "issued_at": at(hours=21),
                   **life(timedelta(hours=21, minutes=2), timedelta(hours=3))})  # fmt: skip
    holders = [holder(f"{IDENTITY}/{name} host", name) for name in names] + [holder(WORKLOAD, "unknown")]
    return Observed(
        client="0.1.0",
        at=NOW,
        services=(
            Service("nats", "http://nats", Answer({"ready": True}), Answer({"version": "2.15.1"}), ours=False),
            service("galley"),
            service("citadel"),
            service("pilot", in_force=in_force(process("pilot/w0"), process("pilot/w1"))),
            service("injector"),
        ),
        workloads=(("default/front", "ready"),),
        proxies=Answer([row(), row("odd.default", "1.28.0")]),
        publisher=Answer(
            {"enabled": True, "connected": True, "leading": True, "committed": 9, "published": 7},
        ),
        sources=Answer({"items": [{"source": "files", "synchronised": True, "objects": 3, "faults": []}]}),
        injection=Answer({"revision": 7, "problems": []}),
        authority=Answer({"kind": "self-signed", "signer": ROOT, "intermediates": [], "roots": [ROOT],
                          "registered_roots": [], "refusal": ""}),
        holders=Answer({"items": holders}),
        certificates=Answer(ledger),
        rotation=Answer({"phase": None, "waiting_for": []}),
    )  # fmt: skip


def with_service(name: str, **more: Answer) -> Observed:
    observed = well()
    services = tuple(replace(one, **more) if one.name == name else one for one in observed.services)
    return replace(observed, services=services)


def with_pilot(*processes: Mapping[str, Any], missing: tuple[str, ...] = ()) -> Observed:
    return with_service("pilot", in_force=in_force(*processes, missing=missing))


def merged(name: str, **more: Any) -> Observed:
    observed = well()
    return replace(observed, **{name: Answer(getattr(observed, name).document | more)})


def with_holder(**more: Any) -> Observed:
    """The workload's holder is another; the services' are as they were."""
    observed = well()
    held = [one | more if one["name"] == WORKLOAD else one for one in observed.holders.document["items"]]
    return replace(observed, holders=Answer({"items": held}))


def throttled() -> Observed:
    waits = process("pilot/w0")
    waits["proxies"] = waits["proxies"] | {"waiting": 12}
    reason = "PILOT_PUSH_THROTTLE=3: a hard ceiling"
    waits["bounds"] = [bound("push_throttle", 3, reason), bound("admission_limit", 3, reason)]
    return with_pilot(waits)


def unlike() -> Observed:
    other = process("pilot-2")
    other["bounds"] = [bound("push_throttle", 100), bound("admission_limit", 32)]
    return with_pilot(process("pilot"), other)


def ending(part: str, left: timedelta) -> Observed:
    one = {"subject": "O=cluster.local", **life(timedelta(days=3600), left)}
    return merged("authority", **{part: [one] if part.endswith("s") else one})


def service_leaf_ends() -> Observed:
    observed = well()
    rows = [
        one | {"issued_at": at(days=25)} | life(timedelta(days=25), timedelta(days=5))
        if one["serial"] == "galley"
        else one
        for one in observed.certificates.document
    ]
    held = [
        one | {"not_after": (NOW + timedelta(days=5)).isoformat()} if one["serial"] == "galley" else one
        for one in observed.holders.document["items"]
    ]
    return replace(observed, certificates=Answer(rows), holders=Answer({"items": held}))


def test_nothing_is_wrong_with_what_is_well() -> None:
    observed = well()
    assert findings(observed) == []
    assert closing([])[0].startswith("✔ No issues found")
    assert document(observed, [])["ok"] is True


SICK: list[tuple[str, Level, str, str, Callable[[], Observed]]] = [
    ("ServiceSilent", Level.ERROR, "injector", "timed out",
     lambda: with_service("injector", readiness=Answer(fault="timed out"))),
    ("ServiceNotReady", Level.ERROR, "galley", "waits for store: locked",
     lambda: with_service("galley", readiness=Answer(
         {"ready": False, "conditions": {"store": {"ok": False, "detail": "locked"}, "started": {"ok": True}}}))),
    ("VersionSkew", Level.WARNING, "control plane",
     "(0.1.0: galley, injector, pilot, pilot/w0, pilot/w1; 0.2.0: citadel)",
     lambda: with_service("citadel", version=Answer({"version": "0.2.0"}))),
    ("ClientVersion", Level.WARNING, "meshctl", "this meshctl is 0.0.9, the control plane 0.1.0",
     lambda: replace(well(), client="0.0.9")),
    ("Unsupervised", Level.WARNING, "stack", "no supervisor", lambda: replace(well(), supervised=False)),
    ("WorkloadNotReady", Level.WARNING, "stack", "default/front (starting)",
     lambda: replace(well(), workloads=(("default/front", "starting"),))),
    ("NotKnown", Level.ERROR, "citadel", "which certificates are in use: 503",
     lambda: replace(well(), certificates=Answer(fault="503"))),
    ("NotKnown", Level.ERROR, "pilot", "what it has in force: 404",
     lambda: with_service("pilot", in_force=Answer(fault="404"))),
    ("NotPublishing", Level.ERROR, "galley", "not connected to NATS", lambda: merged("publisher", connected=False)),
    ("NotPublishing", Level.ERROR, "galley", "has no bus", lambda: merged("publisher", enabled=False)),
    ("NotPublishing", Level.ERROR, "galley", "the lease", lambda: merged("publisher", leading=False)),
    ("SourceNotRead", Level.ERROR, "galley, source files", "never taken in",
     lambda: merged("sources", items=[{"source": "files", "synchronised": False, "objects": 0, "faults": []}])),
    ("SourceRefused", Level.WARNING, "galley, source files", "1 objects could not be taken",
     lambda: merged("sources", items=[{"source": "files", "synchronised": True, "objects": 0, "faults": [{}]}])),
    ("InjectionNotCurrent", Level.WARNING, "injector", "template x",
     lambda: merged("injection", problems=["template x"])),
    ("PilotSilent", Level.ERROR, "pilot-2", "did not answer in time",
     lambda: with_pilot(process("pilot"), missing=("pilot-2",))),
    ("WorkerNotReady", Level.ERROR, "pilot/w1", "waits for feed: waiting",
     lambda: with_pilot(process("pilot/w1") | {"waits_for": {"feed": "waiting"}})),
    ("NoConfig", Level.ERROR, "pilot", "has no config",
     lambda: with_pilot(process("pilot", source="none", connected=False, in_sync=False, revision=0, as_of=None))),
    ("ConfigFromDisk", Level.ERROR, "pilot", "revision 7, 2h0m old), for it has seen nothing of NATS",
     lambda: with_pilot(process("pilot", source="disk", connected=False, in_sync=False, as_of=at(hours=2)))),
    ("ConfigFromDisk", Level.ERROR, "pilot", "it has seen nothing of Galley",
     lambda: with_pilot(process("pilot", source="disk", in_sync=False))),
    ("FeedDisconnected", Level.ERROR, "pilot", "not connected to NATS, and serves what it had (revision 7, 1m30s old)",
     lambda: with_pilot(process("pilot", connected=False, in_sync=False, as_of=at(seconds=90)))),
    ("ConfigNotConfirmed", Level.ERROR, "pilot", "nobody tells it",
     lambda: with_pilot(process("pilot", in_sync=False))),
    ("ConfigBehind", Level.ERROR, "pilot", "it serves revision 7, Galley has published 8",
     lambda: replace(with_pilot(process("pilot")), publisher=merged("publisher", published=8).publisher)),
    ("StreamsWait", Level.WARNING, "pilot/w0", "12 new streams wait", throttled),
    ("BoundsDiffer", Level.WARNING, "pilot",
     "push_throttle is not the same everywhere (none: pilot; 100: pilot-2)", unlike),
    ("ProxyRefuses", Level.ERROR, "front.default", "refused its LDS",
     lambda: replace(well(), proxies=Answer([row(lastError="no such filter")]))),
    ("ProxyBehind", Level.WARNING, "proxies", "1 have not acknowledged what they were sent: front.default (LDS)",
     lambda: replace(well(), proxies=Answer([row(pending=True)]))),
    ("ProxyVersion", Level.WARNING, "proxies", "1 of version 0.2.3, which is not Pilot's: front.default",
     lambda: replace(well(), proxies=Answer([row(version="0.2.3"), row("b.default", "0.1.9")]))),
    ("AuthorityEnds", Level.WARNING, "root O=cluster.local", "ends in 29d0h",
     lambda: ending("roots", timedelta(days=29))),
    ("AuthorityEnds", Level.ERROR, "signer O=cluster.local", "has expired",
     lambda: ending("signer", -timedelta(days=1))),
    ("AuthorityRefused", Level.ERROR, "citadel", "another key", lambda: merged("authority", refusal="another key")),
    ("CertificateEnds", Level.WARNING, "service ns/istio-system/sa/galley host", "ends in 5d0h", service_leaf_ends),
    ("CertificateEnds", Level.WARNING, "workloads", "ns/default/sa/front sidecar~127.1.0.1~front.default (3h0m)",
     lambda: with_holder(serial="short", not_after=(NOW + timedelta(hours=3)).isoformat())),
    ("CertificateEnds", Level.WARNING, "workloads", "front.default (expired)",
     lambda: with_holder(not_after=(NOW - timedelta(seconds=1)).isoformat())),
    ("BundleNotCurrent", Level.WARNING, "trust bundle", "1 have not taken", lambda: with_holder(current=False)),
    ("BundleNotFollowed", Level.WARNING, "galley, injector, pilot", "does not follow the trust bundle",
     lambda: merged("holders", items=[])),
    ("RotationWaits", Level.WARNING, "rotation of the root", "waits for 1 that are away: gone",
     lambda: merged("rotation", waiting_for=[{"name": "gone", "absent": True}, {"name": "b", "absent": False}])),
]  # fmt: skip


@pytest.mark.parametrize(("code", "level", "subject", "message", "sick"), SICK)
def test_what_is_wrong_is_found_alone_and_says_what_would_be_right(
    code: str, level: Level, subject: str, message: str, sick: Callable[[], Observed]
) -> None:
    observed = sick()
    (found,) = findings(observed)
    assert (found.code, found.level, found.subject) == (code, level, subject)
    assert message in found.message
    assert found.remedy
    assert str(found) in closing([found])
    assert document(observed, [found])["ok"] is False


def test_the_page_has_every_code_that_there_is() -> None:
    rows = [line.split(" | ")[0] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {code for text in rows for code in re.findall(r"`([A-Z][A-Za-z]+)`", text)}
    assert told == {code for code, *_ in SICK}
    written = "".join(path.read_text() for path in SOURCE.glob("*.py"))
    assert told >= set(re.findall(r'Level\.[A-Z]+,\s+"([A-Z][A-Za-z]+)"', written))


def test_a_ceiling_that_makes_streams_wait_is_named_in_what_would_be_right() -> None:
    (found,) = findings(throttled())
    assert "admission_limit is 3 (PILOT_PUSH_THROTTLE=3: a hard ceiling)" in found.message
    assert found.remedy == "a higher ceiling, or none (PILOT_PUSH_THROTTLE)"
    waits = process("pilot/w0")
    waits["proxies"] = waits["proxies"] | {"waiting": 1}
    (unbounded,) = findings(with_pilot(waits))
    assert unbounded.remedy == "more workers, or more Pilots"


def test_errors_come_before_warnings_and_many_names_are_cut_short() -> None:
    late = [row(f"p{number}.default", pending=True) for number in range(9)]
    observed = replace(with_service("injector", readiness=Answer(fault="timed out")), proxies=Answer(late), client="9")
    found = findings(observed)
    assert [one.level for one in found] == [Level.ERROR, Level.WARNING, Level.WARNING]
    assert found[-1].message.endswith("p4.default (LDS) and 4 more")


@pytest.mark.parametrize(("left", "soon"), [(16, False), (14, True)])
def test_a_leaf_is_judged_from_when_it_was_issued(left: int, soon: bool) -> None:
    """A minute of life: what it is dated back by is twice that."""
    dates = life(timedelta(seconds=180 - left), timedelta(seconds=left)) | {"issued_at": at(seconds=60 - left)}
    observed = with_holder(serial="minute", not_after=dates["not_after"])
    ledger = [*observed.certificates.document, {"serial": "minute", "identity": "", **dates}]
    found = findings(replace(observed, certificates=Answer(ledger)))
    assert [one.code for one in found] == ["CertificateEnds"] * soon


def test_a_replica_that_has_gone_and_stock_proxies_are_no_findings() -> None:
    gone = holder(f"{IDENTITY}/pilot pilot-9", "z", connected=False, current=False, not_after=at(days=3))
    observed = well()
    observed = replace(observed, holders=Answer({"items": [*observed.holders.document["items"], gone]}))
    assert findings(observed) == []


def test_each_pilot_tells_of_itself_and_nobody_is_missing_whom_another_could_not_ask() -> None:
    """Without NATS a Pilot knows of the others, and cannot ask them."""
    observed = well()
    two = service("pilot-2", in_force=in_force(process("pilot-2"), missing=("pilot",)))
    observed = replace(observed, services=(*observed.services, two))
    assert [one["pilot"] for one in observed.processes] == ["pilot-2", "pilot/w0", "pilot/w1"]
    assert observed.missing == []


def lines(observed: Observed) -> Iterator[tuple[str, ...]]:
    for columns, rows in tables(observed):
        assert all(len(one) == len(columns) for one in rows)
        yield from (tuple(one) for one in rows)


def test_tables_tell_once_what_is_alike_and_name_who_is_otherwise() -> None:
    shown = list(lines(well()))
    assert ("all", "push_throttle", "none", "because") in shown
    assert ("galley", "ready", "0.1.0", "http://galley") in shown
    assert ("pilot/w0", "7 (9)", "Galley", "in sync", "2s old", "1", "1", "0", "0") in shown
    assert ("root", "O=cluster.local", "3500d0h") in shown
    shown = list(lines(unlike()))
    assert ("pilot-2", "push_throttle", "100 things", "because") in shown
    assert ("pilot", "push_throttle", "none", "because") in shown
    assert summary(well())[1] == "proxies: 2 connected, 2 in sync, 0 refuse something (1 of 0.1.0, 1 of 1.28.0)"


def test_a_control_plane_of_which_nothing_answers_is_shown_all_the_same() -> None:
    silent = replace(service("galley"), readiness=Answer(fault="refused"), version=Answer())
    observed = Observed(client="0.1.0", at=NOW, services=(silent, Service("pilot", "", Answer(fault="no container"))))
    assert [one.code for one in findings(observed)] == ["ServiceSilent", "ServiceSilent"]
    assert list(lines(observed)) == [("galley", "silent", "-", "http://galley"), ("pilot", "silent", "-", "-")]
    assert document(observed, [])["proxies"] is None


def test_the_document_has_the_shape_that_is_documented() -> None:
    observed = throttled()
    made = json.loads(json.dumps(document(observed, findings(observed))))
    assert set(made) == {"ok", "client", "services", "pilots", "proxies", "certificates", "findings"}
    assert made["services"][1] == {"name": "galley", "state": "ready", "version": "0.1.0", "admin": "http://galley"}
    assert made["proxies"] == {
        "connected": 2, "synced": 2, "refusing": 0, "versions": {"0.1.0": 1, "1.28.0": 1},
    }  # fmt: skip
    assert made["certificates"][0] == {
        "role": "root",
        "name": "O=cluster.local",
        "not_after": "2036-06-29T12:00:00Z",
        "left_seconds": 3500 * 86400,
        "ends_soon": False,
    }
    (found,) = made["findings"]
    assert set(found) == {"code", "level", "subject", "message", "remedy"}
    assert (found["code"], found["level"]) == ("StreamsWait", "Warning")
    assert set(made["pilots"][0]) == {"pilot", "version", "waits_for", "bounds", "config", "proxies"}
