"""Mixer's kinds by name: plural and model of each."""

from collections.abc import Mapping

from meshcore.model.base import MeshObject
from meshcore.model.mixer.adapters import TYPED, Untyped
from meshcore.model.mixer.policy import (
    AdapterInfo,
    AttributeManifest,
    Handler,
    HttpApiSpec,
    HttpApiSpecBinding,
    Instance,
    QuotaSpec,
    QuotaSpecBinding,
    Rule,
    TemplateInfo,
)

ADAPTERS: Mapping[str, str] = {
    "bypass": "bypasses",
    "circonus": "circonuses",
    "cloudwatch": "cloudwatches",
    "denier": "deniers",
    "dogstatsd": "dogstatsds",
    "fluentd": "fluentds",
    "kubernetesenv": "kubernetesenvs",
    "listchecker": "listcheckers",
    "memquota": "memquotas",
    "noop": "noops",
    "opa": "opas",
    "prometheus": "prometheuses",
    "rbac": "rbacs",
    "redisquota": "redisquotas",
    "servicecontrol": "servicecontrols",
    "signalfx": "signalfxs",
    "solarwinds": "solarwindses",
    "stackdriver": "stackdrivers",
    "statsd": "statsds",
    "stdio": "stdios",
    "zipkin": "zipkins",
}
"""Kinds of adapters and their plurals."""
TEMPLATES: Mapping[str, str] = {
    "apikey": "apikeys",
    "authorization": "authorizations",
    "checknothing": "checknothings",
    "edge": "edges",
    "kubernetes": "kuberneteses",
    "listentry": "listentries",
    "logentry": "logentries",
    "metric": "metrics",
    "quota": "quotas",
    "reportnothing": "reportnothings",
    "servicecontrolreport": "servicecontrolreports",
    "tracespan": "tracespans",
}
"""Kinds of templates and their plurals."""

MIXER_KINDS: tuple[tuple[str, str, type[MeshObject]], ...] = (
    ("handler", "handlers", Handler),
    ("instance", "instances", Instance),
    ("rule", "rules", Rule),
    ("attributemanifest", "attributemanifests", AttributeManifest),
    ("adapter", "adapters", AdapterInfo),
    ("template", "templates", TemplateInfo),
    ("QuotaSpec", "quotaspecs", QuotaSpec),
    ("QuotaSpecBinding", "quotaspecbindings", QuotaSpecBinding),
    ("HTTPAPISpec", "httpapispecs", HttpApiSpec),
    ("HTTPAPISpecBinding", "httpapispecbindings", HttpApiSpecBinding),
    *((kind, plural, TYPED.get(kind, Untyped)) for kind, plural in ADAPTERS.items()),
    *((kind, plural, Untyped) for kind, plural in TEMPLATES.items()),
)
"""Kind, plural and model."""
