"""What is wrong with the services themselves: ready, of one version, looked after, and asked in full. Pure."""

from collections.abc import Iterator

from meshctl.core.check.finding import Finding, Level, listed
from meshctl.core.check.observed import Answer, Observed, Service

_ASKED = (
    ("galley", "publisher", "how far it has published"),
    ("galley", "sources", "what its sources have"),
    ("injector", "injection", "which templates are in force"),
    ("citadel", "authority", "what signs and what is trusted"),
    ("citadel", "holders", "who follows the trust bundle"),
    ("citadel", "certificates", "which certificates are in use"),
    ("pilot", "proxies", "how its proxies stand"),
)
"""Service, the answer that only it has, and what that is about."""


def service_findings(observed: Observed) -> Iterator[Finding]:
    """Readiness, versions, the supervisor, and what could not be asked."""
    for service in observed.services:
        yield from _readiness(service)
    yield from _versions(observed)
    yield from _supervision(observed)
    for kind, name, what in _ASKED:
        answer: Answer = getattr(observed, name)
        if not answer.known and observed.answers(kind):
            yield _not_known(kind, what, answer.fault)
    yield from _galley(observed)
    yield from _injector(observed)


def _readiness(service: Service) -> Iterator[Finding]:
    if not service.readiness.known:
        yield Finding(
            Level.ERROR,
            "ServiceSilent",
            service.name,
            service.readiness.fault,
            "it runs, and answers on its admin port: `meshctl up` (`docker compose up -d`) starts what does not; its "
            "log says why it ended",
        )
    elif not service.ready:
        waits = [
            f"{name}{': ' * bool(one.get('detail'))}{one.get('detail', '')}"
            for name, one in sorted(service.readiness.document.get("conditions", {}).items())
            if not one["ok"]
        ]
        yield Finding(
            Level.ERROR,
            "ServiceNotReady",
            service.name,
            f"it is not ready, and waits for {'; '.join(waits) or 'something that it does not name'}",
            "every condition of its /readyz holds",
            passing=True,
        )


def _versions(observed: Observed) -> Iterator[Finding]:
    known = {one.name: one.release for one in observed.services if one.ours and one.release}
    known |= {row["pilot"]: str(row["version"]) for row in observed.processes}
    versions = sorted(set(known.values()))
    if len(versions) > 1:
        told = (f"{version}: {listed(name for name in known if known[name] == version)}" for version in versions)
        yield Finding(
            Level.WARNING,
            "VersionSkew",
            "control plane",
            f"services run several versions ({'; '.join(told)})",
            "all run one version, but for the time of an upgrade",
        )
    if versions and observed.client not in versions:
        yield Finding(
            Level.WARNING,
            "ClientVersion",
            "meshctl",
            f"this meshctl is {observed.client}, the control plane {', '.join(versions)}",
            "the command line has the version of the control plane",
        )


def _supervision(observed: Observed) -> Iterator[Finding]:
    if not observed.supervised:
        yield Finding(
            Level.WARNING,
            "Unsupervised",
            "stack",
            "no supervisor runs: a service that ends is not started again",
            "`meshctl up` starts one, which takes over what runs",
        )
    down = [f"{name} ({state})" for name, state in observed.workloads if state != "ready"]
    if down:
        yield Finding(
            Level.WARNING,
            "WorkloadNotReady",
            "stack",
            f"workloads of this stack are not ready: {listed(down)}",
            "`meshctl status` shows each as ready; its log says what it waits for",
            passing=True,
        )


def _not_known(kind: str, what: str, fault: str) -> Finding:
    return Finding(
        Level.ERROR,
        "NotKnown",
        kind,
        f"it did not say {what}: {fault}",
        "it answers, and knows the question: a service of an older version may not",
        passing=True,
    )


def _galley(observed: Observed) -> Iterator[Finding]:
    publisher = observed.publisher.document or {}
    if publisher.get("enabled") is False:
        yield Finding(
            Level.ERROR,
            "NotPublishing",
            "galley",
            "Galley publishes nothing: it has no bus",
            "GALLEY_NATS_URL names the NATS of this mesh",
        )
    elif publisher and not publisher["connected"]:
        yield Finding(
            Level.ERROR,
            "NotPublishing",
            "galley",
            "Galley is not connected to NATS: what is written is kept, and reaches nobody",
            "NATS runs and Galley reaches it; what waits is then published by itself",
            passing=True,
        )
    elif publisher and not publisher["leading"] and sum(1 for _ in observed.of_kind("galley")) == 1:
        yield Finding(
            Level.ERROR,
            "NotPublishing",
            "galley",
            "the only Galley does not hold the lease by which one publishes",
            "it takes the lease when that of its predecessor has run out, within seconds",
            passing=True,
        )
    for source in (observed.sources.document or {}).get("items", ()):
        if not source["synchronised"]:
            yield Finding(
                Level.ERROR,
                "SourceNotRead",
                f"galley, source {source['source']}",
                "its state was never taken in whole",
                "the server answers, and Galley's account may list and watch there",
                passing=True,
            )
        if source["faults"]:
            yield Finding(
                Level.WARNING,
                "SourceRefused",
                f"galley, source {source['source']}",
                f"{len(source['faults'])} objects could not be taken",
                "they are valid; Galley's /debug/sourcez tells what is wrong with each",
            )


def _injector(observed: Observed) -> Iterator[Finding]:
    problems = (observed.injection.document or {}).get("problems", ())
    if problems:
        yield Finding(
            Level.WARNING,
            "InjectionNotCurrent",
            "injector",
            f"a newer configuration of injection is not in force: {'; '.join(map(str, problems))}",
            "the ConfigMap of the injector can be read; pods are injected by the one before until then",
            passing=True,
        )
