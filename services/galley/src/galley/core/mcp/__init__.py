"""Config for consumers that speak Istio's protocols: MCP (source and sink) and MCP over xDS. Pure."""
