"""Which workload a pod belongs to, told from its owner. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CRON_JOB = re.compile(r"(?P<name>.+)-\d{8,10}")


@dataclass(frozen=True, slots=True)
class Workload:
    """The owner that a person would name: a Deployment rather than its ReplicaSet, a CronJob rather than its Job."""

    api_version: str
    kind: str
    name: str

    def owner_uri(self, namespace: str) -> str:
        """The value of node metadata OWNER."""
        return f"kubernetes://apis/{self.api_version}/namespaces/{namespace}/{self.kind.lower()}s/{self.name}"


def workload_of_pod(pod: Mapping[str, Any]) -> Workload:
    """The workload of a pod as the API server sends it: its controlling owner, or the pod itself."""
    metadata = pod.get("metadata") or {}
    own_name = str(metadata.get("name") or str(metadata.get("generateName") or "").rstrip("-"))
    owner = next((ref for ref in metadata.get("ownerReferences") or () if ref.get("controller")), None)
    if owner is None:
        return Workload("v1", "Pod", own_name)
    found = Workload(str(owner.get("apiVersion", "")), str(owner.get("kind", "")), str(owner.get("name", "")))
    pod_hash = (metadata.get("labels") or {}).get("pod-template-hash")
    if found.kind == "ReplicaSet" and pod_hash and found.name.endswith(f"-{pod_hash}"):
        return Workload(found.api_version, "Deployment", found.name.removesuffix(f"-{pod_hash}"))
    if found.kind == "Job" and (match := _CRON_JOB.fullmatch(found.name)):
        return Workload(found.api_version, "CronJob", match["name"])
    return found
