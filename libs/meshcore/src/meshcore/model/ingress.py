"""Ingress and IngressClass: which hosts and paths of the world lead to which Services (networking.k8s.io/v1)."""

from meshcore.model.base import Int32, ManagedObject, MeshModel, MeshObject, StatusObject


class ServiceBackendPort(MeshModel):
    """A port of a Service by its number or by its name."""

    name: str = ""
    number: Int32 = 0


class ServiceBackend(MeshModel):
    """A Service of the Ingress's namespace."""

    name: str
    port: ServiceBackendPort = ServiceBackendPort()


class IngressBackend(MeshModel):
    """Where requests go: a Service, or an object of which only its own controller knows anything."""

    service: ServiceBackend | None = None
    resource: ManagedObject | None = None


class HttpIngressPath(MeshModel):
    """One path; `path_type` is Exact, Prefix or ImplementationSpecific."""

    path: str = ""
    path_type: str | None = None
    backend: IngressBackend


class HttpIngressRule(MeshModel):
    """The paths of a host."""

    paths: tuple[HttpIngressPath, ...]


class IngressRule(MeshModel):
    """A host, empty for all of them, and its paths."""

    host: str = ""
    http: HttpIngressRule | None = None


class IngressTls(MeshModel):
    """Hosts that are served in TLS with the certificate of a Secret; no hosts means all."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(MeshModel):
    """Rules, certificates, and whose business they are."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    tls: tuple[IngressTls, ...] = ()
    rules: tuple[IngressRule, ...] = ()


class Ingress(StatusObject):
    """A way in from outside."""

    spec: IngressSpec = IngressSpec()


class IngressClassSpec(MeshModel):
    """Who serves the Ingresses of this class."""

    controller: str = ""
    parameters: ManagedObject | None = None


class IngressClass(MeshObject):
    """A class of Ingresses by name."""

    spec: IngressClassSpec = IngressClassSpec()
