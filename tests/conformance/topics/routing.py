"""Routes, retries, localities and policies of traffic: what Pilot's compiler makes of one part of the config."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from meshcore.model.base import MeshModel
from meshcore.model.destination_rule import Subset, TrafficPolicy
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.virtual_service import (
    HttpFaultInjection,
    HttpMatchRequest,
    HttpRetry,
    HttpRoute,
    MirrorPolicy,
    Percent,
)
from meshcore.protocol import parse_protocol
from meshcore.xds import registry
from pilot.core.compiler.clients import Client
from pilot.core.compiler.jwt_claims import claim_path
from pilot.core.compiler.messages import cidr_range
from pilot.core.compiler.priorities import covers
from pilot.core.compiler.retry_policy import retry_policy
from pilot.core.compiler.route_policies import fault_filter, fraction
from pilot.core.compiler.stat_prefix import stat_prefix
from pilot.core.compiler.virtual_service import mirrors_of
from pilot.core.delegated_match import delegated_matches
from pilot.core.registry import Locality, Port, Service
from pilot.core.visibility.destination_rules import ServiceRule

_SHARES = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def _locality(given: Mapping[str, str]) -> Locality:
    return Locality(given.get("region", ""), given.get("zone", ""), given.get("subZone", ""))


def _locality_parse(given: Mapping[str, Any]) -> dict[str, str]:
    parts = zip(("region", "zone", "subZone"), Locality.parse(given["locality"]), strict=True)
    return {name: value for name, value in parts if value}


def _with_host(destination: Mapping[str, Any]) -> dict[str, Any]:
    return {"host": "nobody", **destination}


def _mirror_fraction(given: Mapping[str, Any]) -> Any:
    """The share of the requests as a part of one; None when nothing is mirrored."""
    if (policy := given.get("httpMirrorPolicy")) is not None:
        parsed = MirrorPolicy.model_validate({**policy, "destination": _with_host(policy.get("destination", {}))})
        percentage: Percent | None = parsed.percentage
    else:
        route = given["httpRoute"]
        percentage = mirrors_of(HttpRoute.model_validate({**route, "mirror": _with_host(route.get("mirror", {}))}))[
            0
        ].percentage
    share = fraction(percentage)
    return json_format.MessageToDict(share) if share.numerator else None


def _same_share(got: Any, want: Any) -> bool:
    if got is None or want is None:
        return got is want
    value = want["defaultValue"]
    return got["numerator"] * _SHARES[value.get("denominator", "HUNDRED")] == (
        value.get("numerator", 0) * _SHARES[got.get("denominator", "HUNDRED")]
    )


def _source_match(given: Mapping[str, Any]) -> bool:
    match = HttpMatchRequest.model_validate(given["match"])
    gateway = next(iter(given.get("gatewayNames") or ("mesh",)))
    return Client(given.get("proxyNamespace", ""), given.get("proxyLabels") or {}, gateway).meets(match, 0, "")


def _cidr(given: Mapping[str, Any]) -> Any:
    try:
        return json_format.MessageToDict(cidr_range(given["address"]))
    except ValueError:
        return None


def _fault(given: Mapping[str, Any]) -> Any:
    return json_format.MessageToDict(fault_filter(HttpFaultInjection.model_validate(given["fault"])))


def _stat_prefix(given: Mapping[str, Any]) -> str:
    port, attributes = given["port"], given.get("attributes", {})
    service = Service(
        given["host"],
        attributes.get("namespace", ""),
        attributes.get("name", ""),
        kind="Service" if attributes.get("serviceRegistry") == "Kubernetes" else "ServiceEntry",
    )
    target = given.get("targetPort") or 0
    return stat_prefix(
        given["pattern"],
        service,
        Port(port["port"], port["name"], parse_protocol(port.get("protocol", "")), target),
        given["subset"],
    )


def _document(model: MeshModel) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _merged_policy(given: Mapping[str, Any]) -> Any:
    subset = given.get("subset")
    rule = ServiceRule(
        policy=TrafficPolicy.model_validate(given["base"]) if given.get("base") is not None else None,
        subsets=(Subset(name="s", traffic_policy=None if subset is None else TrafficPolicy.model_validate(subset)),),
    )
    merged = rule.policy_of((given.get("port") or {}).get("port", 0), "s")
    blocks = {name: getattr(merged, name) for name in type(merged).__slots__}
    policy = TrafficPolicy.model_construct(**{name: value for name, value in blocks.items() if value is not None})
    return _document(policy)


def _delegated(given: Mapping[str, Any]) -> Any:
    def matches(items: Any) -> tuple[HttpMatchRequest, ...]:
        return tuple(HttpMatchRequest.model_validate(item) for item in items or ())

    found = delegated_matches(matches(given.get("root")), matches(given.get("delegate")))
    return None if found is None else [_said(_document(item)) for item in found]


def _said(value: Any) -> Any:
    """Without what says nothing."""
    if isinstance(value, dict):
        return {key: said for key, item in value.items() if (said := _said(item)) not in (None, "", {}, [], 0)}
    return value


def _retry(given: Mapping[str, Any]) -> Any:
    retries = given["retries"]
    policy = retry_policy(
        None if retries is None else HttpRetry.model_validate(retries),
        MeshConfig(),
        consistent_hash=given.get("hashPolicy", False),
    )
    return None if policy is None else _retry_document(policy)


def _retry_document(policy: Any) -> Any:
    registry.load()
    return json_format.MessageToDict(policy)


def _retries_agree(got: Any, want: Any) -> bool:
    """Only what is listed is asserted; `@default` stands for what the default policy has."""
    default = _retry({"retries": None})
    if want is None or got is None:
        return got is want
    if "@equals" in want:
        return bool(got == default)
    for field, value in want.items():
        wanted = default.get(field) if value == "@default" else value
        if field == "retryHostPredicate" and value != "@default":
            if [item["name"] for item in got.get(field, [])] != [item["name"] for item in value or []]:
                return False
        elif (got.get(field) or None) != (wanted or None):
            return False
    return True


def _claim(given: Mapping[str, Any]) -> Any:
    path = claim_path(given["header"])
    return {"match": bool(path), "claims": list(path)}


def _claims_agree(got: Any, want: Any) -> bool:
    return got["match"] is want["match"] and got["claims"] == want.get("claims", got["claims"])


TOPICS = {
    "jwt-claim-route-header": _claim,
    "locality-parse": _locality_parse,
    "locality-match": lambda given: covers(given["rule"], _locality(given["locality"])),
    "route-mirror-fraction": _mirror_fraction,
    "route-source-match": _source_match,
    "address-to-cidr": _cidr,
    "route-fault": _fault,
    "stat-prefix": _stat_prefix,
    "dr-merge-subset-policy": _merged_policy,
    "vs-delegate-merge-match": _delegated,
    "route-retry-policy": _retry,
}
AGREE = {
    "jwt-claim-route-header": _claims_agree,
    "route-mirror-fraction": _same_share,
    "route-retry-policy": _retries_agree,
}
