"""Validates, normalises, stores and publishes the mesh's config."""
