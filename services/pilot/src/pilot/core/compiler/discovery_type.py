"""How the cluster of a service finds its endpoints, as far as its cluster and its assignment must agree on it. Pure."""

from meshcore.model.destination_rule import SimpleLb

from pilot.core.proxy import Interception, ProxyClass, ProxyType
from pilot.core.registry import Resolution, Service
from pilot.core.visibility.destination_rules import PortPolicy


def is_eds(proxy_class: ProxyClass, service: Service) -> bool:
    """Whether the service's endpoints are sent by EDS. Without capture there is no original destination to go to."""
    if service.resolution is Resolution.ENDPOINTS:
        return True
    follows = proxy_class.type is not ProxyType.SIDECAR or proxy_class.interception is Interception.NONE
    return service.resolution is Resolution.NONE and service.headless and follows


def is_passed_through(policy: PortPolicy) -> bool:
    """Whether the rule turns the cluster into one that goes to where the caller dialled."""
    return policy.load_balancer is not None and policy.load_balancer.simple is SimpleLb.PASSTHROUGH
