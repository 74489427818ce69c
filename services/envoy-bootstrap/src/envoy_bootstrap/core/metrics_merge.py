"""One scrape for agent, Envoy and application. Pure."""

import re
from collections.abc import Sequence

_ENVOY_ISTIO = re.compile(r"^((?:# (?:HELP|TYPE) )?)envoy_(istio_)", re.MULTILINE)
_UNPREFIXED = re.compile(r"^((?:# (?:HELP|TYPE) )?)(?!#|istio_agent_)(?=[a-zA-Z_])(\w)", re.MULTILINE)


def merge_metrics(parts: Sequence[str]) -> str:
    """The texts one after the other; an empty one (a source that did not answer) leaves the others as they are.

    An OpenMetrics end marker inside would cut off what follows, so every one is dropped.
    """
    lines = [line for part in parts for line in part.splitlines() if line and line != "# EOF"]
    return "".join(f"{line}\n" for line in lines)


def istio_names(envoy_metrics: str) -> str:
    """Stock Envoy puts `envoy_` before every name; Istio's own metrics are known without it."""
    return _ENVOY_ISTIO.sub(r"\1\2", envoy_metrics)


def agent_names(agent_metrics: str) -> str:
    """The agent's own metrics under `istio_agent_`, so that its process is not taken for the application's."""
    return _UNPREFIXED.sub(r"\1istio_agent_\2", agent_metrics)
