"""Adds the sidecar to pods."""
