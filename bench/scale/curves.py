"""How cost grows: with proxies at a fixed number of classes, and with services. A point's figures are named
`FIGURE@proxies=N` or `FIGURE@services=N`."""

from __future__ import annotations

from bench.scale.changes import Figures, measure_kind, measure_rate
from bench.scale.fed_objects import more_services
from bench.scale.mesh import Mesh
from bench.scale.profiles import Profile
from bench.scale.proxies import Proxies
from bench.scale.storms import connect


def by_proxies(mesh: Mesh, clients: Proxies, profile: Profile) -> Figures:
    """More and more proxies of the same classes."""
    figures: Figures = {}
    before = 0
    for proxies in profile.proxy_steps:
        point = connect(mesh, clients, proxies, before)
        point |= measure_kind(mesh, clients, "endpoint", profile.turns)
        point |= measure_rate(mesh, clients, profile.seconds, proxies)
        figures |= {f"{name}@proxies={proxies}": value for name, value in point.items()}
        before = proxies
    return figures


def by_services(mesh: Mesh, clients: Proxies, profile: Profile) -> Figures:
    """More and more services, seen by one proxy of each class."""
    figures: Figures = {}
    before = profile.services
    for services in profile.service_steps:
        clients.ask("proxies", 0)
        mesh.feed(list(more_services(before, services, profile.classes)))
        point = connect(mesh, clients, profile.classes)
        for name in ("service_added", "endpoint", "virtual_service"):
            point |= measure_kind(mesh, clients, name, profile.turns)
        figures |= {f"{name}@services={services}": value for name, value in point.items()}
        before = max(before, services)
    return figures
