"""Serves xDS to Envoy from the mesh's config and services."""
