"""Discovery documents: which groups, versions and resources there are, in the older form and in the aggregated one.

The first version of a group is the one that clients use when they are not told which. An aggregated document is only
recognised by a Content-Type with its parameters.
"""

from collections.abc import Sequence
from typing import Any

from meshcore.model.kinds import KINDS, KindInfo

Body = dict[str, Any]

VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


def aggregated_content_type(version: str) -> str:
    """The Content-Type by which clients recognise an aggregated document."""
    return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def groups(kinds: Sequence[KindInfo] = KINDS) -> dict[str, list[str]]:
    """Versions of each group in order of preference; the core group is the empty name."""
    found: dict[str, list[str]] = {}
    for info in kinds:
        versions = found.setdefault(info.group, [])
        versions.extend(version for version in info.versions if version not in versions)
    return found


def kinds_of(group: str, version: str, kinds: Sequence[KindInfo] = KINDS) -> list[KindInfo]:
    """The kinds that a group serves in a version, by plural."""
    found = [info for info in kinds if info.group == group and version in info.versions]
    return sorted(found, key=lambda info: info.plural)


def api_versions() -> Body:
    """`/api` in the older form."""
    return {"kind": "APIVersions", "versions": groups()[""]}


def api_group(group: str) -> Body:
    """`/apis/GROUP`."""
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in groups()[group]]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": group,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def api_group_list() -> Body:
    """`/apis` in the older form."""
    listed = [
        {key: value for key, value in api_group(group).items() if key not in ("kind", "apiVersion")}
        for group in groups()
        if group
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def api_resource_list(group: str, version: str) -> Body:
    """`/api/v1` and `/apis/GROUP/VERSION`."""
    resources: list[Body] = []
    for info in kinds_of(group, version):
        resource: Body = {
            "name": info.plural,
            "singularName": info.singular,
            "namespaced": info.namespaced,
            "kind": info.kind,
            "verbs": list(VERBS),
        }
        if info.short_names:
            resource["shortNames"] = list(info.short_names)
        if info.categories:
            resource["categories"] = list(info.categories)
        resources.append(resource)
        for name, kind, verbs in _subresources(info):
            resources.append(
                {
                    "name": f"{info.plural}/{name}",
                    "singularName": "",
                    "namespaced": info.namespaced,
                    "kind": kind["kind"],
                    "verbs": list(verbs),
                    **({"group": kind["group"], "version": kind["version"]} if name == "token" else {}),
                }
            )
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def aggregated(api_version: str, *, core: bool) -> Body:
    """All resources at once: of the core group (`/api`) or of all others (`/apis`)."""
    items = []
    for group, versions in groups().items():
        if bool(group) == core:
            continue
        listed = [
            {"version": version, "freshness": "Current", "resources": [_aggregated(info, version) for info in served]}
            for version in versions
            if (served := kinds_of(group, version))
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api_version}",
        "metadata": {},
        "items": items,
    }


def _aggregated(info: KindInfo, version: str) -> Body:
    resource: Body = {
        "resource": info.plural,
        "responseKind": {"group": info.group, "version": version, "kind": info.kind},
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(VERBS),
    }
    if info.short_names:
        resource["shortNames"] = list(info.short_names)
    if info.categories:
        resource["categories"] = list(info.categories)
    if subresources := [
        {"subresource": name, "responseKind": kind, "verbs": list(verbs)} for name, kind, verbs in _subresources(info)
    ]:
        resource["subresources"] = subresources
    return resource


def _subresources(info: KindInfo) -> list[tuple[str, Body, Sequence[str]]]:
    found: list[tuple[str, Body, Sequence[str]]] = []
    if info.has_status:
        found.append(
            ("status", {"group": info.group, "version": info.storage_version, "kind": info.kind}, STATUS_VERBS)
        )
    if info.kind == "ServiceAccount":
        token = {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
        found.append(("token", token, ("create",)))
    return found
