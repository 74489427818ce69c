"""Looks through the pods of a node again and again, and repairs, deletes or labels those without capture."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from meshcore.errors import ErrorCode, MeshError
from meshcore.http.kubeconfig import Access

from envoy_bootstrap.adapters.capture.host import find_network_namespace
from envoy_bootstrap.adapters.capture.xtables import run
from envoy_bootstrap.core.capture.pod import told_by_pod
from envoy_bootstrap.core.capture.repair import Remedy, RepairConfig, is_broken, is_labelled

_TIMEOUT = httpx.Timeout(30.0)
_PASSED_ON = ("PATH", "PYTHONPATH")
"""What a process needs to find programs and modules (an image has ours by PYTHONPATH); others would be flags to it."""


class PodRepair:
    """`say` gets a line for everything that is done or that fails."""

    def __init__(self, config: RepairConfig, access: Access, say: Callable[[str], None]) -> None:
        self._config, self._access, self._say = config, access, say
        self._repaired: set[str] = set()

    async def run(self, pause: float) -> None:
        """For ever; an API server that is away is asked again."""
        while True:
            try:
                await self.once()
            except (httpx.HTTPError, ValueError) as error:
                self._say(f"the pods are not to be had: {str(error) or type(error).__name__}")
            await asyncio.sleep(pause)

    async def once(self) -> None:
        """One look; a pod that cannot be helped does not keep others from it."""
        # what the server has in its memory is new enough, and costs it little
        query = {"resourceVersion": "0"} | (
            {"fieldSelector": f"spec.nodeName={self._config.node}"} if self._config.node else {}
        )
        async with self._access.client(_TIMEOUT) as client:
            answer = await client.get("/api/v1/pods", params=query)
            answer.raise_for_status()
            pods = answer.json().get("items") or ()
            broken = {pod["metadata"]["uid"]: pod for pod in pods if is_broken(pod, self._config)}
            self._repaired &= broken.keys()
            for uid, pod in broken.items():
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                try:
                    if done := await self._help(client, uid, pod):
                        self._say(f"{name} has no capture: {done}")
                except (httpx.HTTPError, MeshError) as error:
                    self._say(f"{name} has no capture, and could not be helped: {error}")

    async def _help(self, client: httpx.AsyncClient, uid: str, pod: Mapping[str, Any]) -> str:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        match self._config.remedy:
            case Remedy.REPAIR:
                # its first container comes through when it is next started
                if uid in self._repaired:
                    return ""
                await asyncio.to_thread(_capture, pod)
                self._repaired.add(uid)
                return "repaired"
            case Remedy.DELETE:
                meant = {"uid": uid, "resourceVersion": metadata["resourceVersion"]}
                answer = await client.request("DELETE", path, json={"preconditions": meant})
                answer.raise_for_status()
                return "deleted"
            case Remedy.LABEL:
                if is_labelled(pod, self._config):
                    return ""
                patch = {"metadata": {"labels": {self._config.label_key: self._config.label_value}}}
                form = {"Content-Type": "application/merge-patch+json"}
                answer = await client.request("PATCH", path, json=patch, headers=form)
                answer.raise_for_status()
                return "labelled"
            case Remedy.NONE:
                return ""


def _capture(pod: Mapping[str, Any]) -> None:
    status = pod.get("status") or {}
    addresses = {str(item.get("ip")) for item in status.get("podIPs") or ()} | {str(status.get("podIP"))}
    namespace = find_network_namespace(addresses)
    if namespace is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "its network namespace is not on this node")
    told = (f"--{name}={text}" for name, text in told_by_pod(pod).items())
    # a process of its own enters the namespace, and hears of nothing but the pod
    program = (sys.executable, "-m", "envoy_bootstrap.istio_iptables", f"--network-namespace={namespace}", *told)
    run(program, environment={name: os.environ[name] for name in _PASSED_ON if name in os.environ})
