"""`/debug/inject`: the templates and values in force, as Istio's control plane shows them."""

from typing import Any

from fastapi import APIRouter

from injector.adapters.mesh_feed import MeshFeed


def debug_router(feed: MeshFeed) -> APIRouter:
    """Routes for the admin API."""
    router = APIRouter(tags=["debug"])

    @router.get("/debug/inject")
    async def get_injection_config() -> dict[str, Any]:
        """Policy, templates, values, and what is wrong with a newer configuration that is not in force."""
        if feed.state is None:
            return {"revision": None, "problems": ["the configuration is not known yet"]}
        config = feed.state.config
        return {
            "revision": feed.revision,
            "problems": list(feed.state.problems),
            "policy": config.policy.value,
            "defaultTemplates": list(config.default_templates),
            "templates": dict(config.templates),
            "values": dict(config.values),
        }

    return router
