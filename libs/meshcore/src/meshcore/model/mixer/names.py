"""Mixer's kinds by name: plural and model of each."""

from collections.abc import Mapping

from meshcore.model.later import Later

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

TYPED: Mapping[str, str] = {
    "denier": "Denier",
    "listchecker": "ListChecker",
    "memquota": "MemQuota",
    "redisquota": "RedisQuota",
    "prometheus": "Prometheus",
    "stdio": "Stdio",
    "fluentd": "Fluentd",
    "opa": "Opa",
    "statsd": "Statsd",
    "zipkin": "Zipkin",
}
"""Adapters with typed parameters, by the name of their kind, and their models."""

MIXER_KINDS: tuple[tuple[str, str, Later], ...] = (
    ("handler", "handlers", Later("mixer.policy", "Handler")),
    ("instance", "instances", Later("mixer.policy", "Instance")),
    ("rule", "rules", Later("mixer.policy", "Rule")),
    ("attributemanifest", "attributemanifests", Later("mixer.policy", "AttributeManifest")),
    ("adapter", "adapters", Later("mixer.policy", "AdapterInfo")),
    ("template", "templates", Later("mixer.policy", "TemplateInfo")),
    ("QuotaSpec", "quotaspecs", Later("mixer.policy", "QuotaSpec")),
    ("QuotaSpecBinding", "quotaspecbindings", Later("mixer.policy", "QuotaSpecBinding")),
    ("HTTPAPISpec", "httpapispecs", Later("mixer.policy", "HttpApiSpec")),
    ("HTTPAPISpecBinding", "httpapispecbindings", Later("mixer.policy", "HttpApiSpecBinding")),
    *((kind, plural, Later("mixer.adapters", TYPED.get(kind, "Untyped"))) for kind, plural in ADAPTERS.items()),
    *((kind, plural, Later("mixer.adapters", "Untyped")) for kind, plural in TEMPLATES.items()),
)
"""Kind, plural and model."""
