"""Galley's config API: HTTPS that speaks Kubernetes, so that stock kubectl works without a cluster."""

from galley.adapters.config_api.app import ConfigApi

__all__ = ["ConfigApi"]
