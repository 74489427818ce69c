"""Proxy images: pods that run another than the injector gives, and `image: auto` that nobody will fill in."""

from collections.abc import Iterator, Mapping

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, put_entry
from galley.core.analysis.inputs import INJECTOR_CONFIG_MAP, Inputs, injector_config_map
from galley.core.analysis.kinds import CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOKS, NAMESPACE, POD, PROXY_CONFIG
from galley.core.analysis.label_selectors import selector_matches
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import IMAGE_AUTO_ERROR, IMAGE_AUTO_WARNING, PROXY_IMAGE_MISMATCH
from galley.core.analysis.reading import mapping, mappings, string_map, text
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import (
    INJECT,
    INJECTION_LABEL,
    PROXY_CONTAINER,
    REVISION_LABEL,
    containers,
)
from galley.core.analysis.yaml_texts import read_mapping

_AUTO = "auto"


def check_images(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Namespaces with pods whose proxy is of another image than the injector of their revision gives."""
    images = {
        config_map.name: _image(inputs, config_map)
        for config_map in inputs.of(CONFIG_MAP)
        if config_map.name.startswith(INJECTOR_CONFIG_MAP)
    }
    for namespace in inputs.of(NAMESPACE) if images else ():
        revision = namespace.labels.get(REVISION_LABEL)
        if revision is None and namespace.labels.get(INJECTION_LABEL) != "enabled":
            continue
        image = images.get(injector_config_map(revision or ""))
        if image is None:
            continue
        wrong = sorted(pod.name for pod in inputs.pods_in(namespace.name) for _ in _wrong_proxies(pod, image, inputs))
        if wrong:
            fix = Fix(f"Restart the workloads of these pods to get {image}.")
            yield Message(PROXY_IMAGE_MISMATCH, namespace, (wrong,), 0, fix)


def _image(inputs: Inputs, config_map: Resource) -> str:
    settings = mapping(inputs.injector_values(config_map), "global")
    image = text(settings, "proxy", "image")
    tag = settings.get("tag", "")
    return image if "/" in image else f"{text(settings, 'hub')}/{image}:{tag}"


def _wrong_proxies(pod: Resource, image: str, inputs: Inputs) -> Iterator[str]:
    if pod.annotations.get("sidecar.istio.io/proxyImage"):
        return
    allowed = (image, f"{image}-{_image_type(pod, inputs)}")
    for container in containers(pod.spec, "containers", "initContainers"):
        if text(container, "name") == PROXY_CONTAINER and text(container, "image") not in allowed:
            yield text(container, "image")


def _image_type(pod: Resource, inputs: Inputs) -> str:
    """The variant of the image (`distroless`) that ProxyConfig asks for: mesh, root, namespace, workload, pod."""
    found = text(inputs.mesh_config, "defaultConfig", "image", "imageType")
    ranked: list[tuple[int, str]] = []
    for config in inputs.of(PROXY_CONFIG):
        selector = config.spec.get("selector")
        labels = string_map(selector, "matchLabels")
        if config.namespace == inputs.root_namespace:
            rank = 0
        elif config.namespace == pod.namespace and selector is None:
            rank = 1
        elif config.namespace == pod.namespace and selects(labels, pod.labels):
            rank = 2
        else:
            continue
        ranked.append((rank, text(config.spec, "image", "imageType")))
    own = read_mapping(pod.annotations.get("proxy.istio.io/config", ""))
    for image_type in (*(said for _, said in sorted(ranked)), text(own, "image", "imageType")):
        found = image_type or found
    return "" if found == "default" else found


def check_auto_images(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Pods that were created with `image: auto` still there, and deployments whose pods will be."""
    webhooks = [
        webhook
        for configuration in inputs.of(MUTATING_WEBHOOKS)
        for _, webhook in mappings(configuration.body, "webhooks")
        if text(webhook, "name").endswith("istio.io")
    ]
    for pod in inputs.of(POD):
        if _has_auto_image(pod.spec):
            fix = Fix(f"Create it anew with the label {INJECT}=true: images are filled in when a pod is created.")
            yield Message(IMAGE_AUTO_ERROR, pod, ("Pod", pod.name), 0, fix)
    for deployment in inputs.of(DEPLOYMENT):
        template = mapping(deployment.spec, "template")
        if not _has_auto_image(mapping(template, "spec")):
            continue
        home = inputs.namespace(deployment.namespace or "default")
        home_labels = home.labels if home is not None else {}
        labels = string_map(template, "metadata", "labels")
        if not any(
            selector_matches(webhook.get("namespaceSelector"), home_labels)
            and selector_matches(webhook.get("objectSelector"), labels)
            for webhook in webhooks
        ):
            patch = put_entry(deployment.body, INJECT, "true", "spec", "template", "metadata", "labels")
            fix = Fix("Ask for injection by the label.", patch)
            yield Message(IMAGE_AUTO_WARNING, deployment, ("Deployment", deployment.name), 0, fix)


def _has_auto_image(pod_spec: Mapping[str, object]) -> bool:
    return any(
        text(container, "name") == PROXY_CONTAINER and text(container, "image") == _AUTO
        for container in containers(pod_spec)
    )
