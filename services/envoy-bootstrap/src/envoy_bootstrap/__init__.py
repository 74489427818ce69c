"""The node agent beside each Envoy."""
