"""MCP and MCP over xDS on gRPC: bytes between the store's changes and the sessions of `galley.core.mcp`."""

from galley.adapters.mcp.ports import start_mcp

__all__ = ["start_mcp"]
