"""What the command line itself keeps of the mesh's trust: the kubeconfig's CA, and a certificate of its own."""

import asyncio
import base64
import json
from pathlib import Path

from meshcore.tls import LiveIdentity, leads_to_first
from meshcore.tls.renewal import renew

from meshctl.adapters.processes import write_private
from meshctl.core import mesh_objects
from meshctl.core.layout import Layout
from meshctl.core.topology import CA_PORT, CONFIG_API_PORT, Stack


def write_kubeconfig(stack: Stack, layout: Layout) -> None:
    """Write the kubeconfig with the trust bundle as it is now; nothing happens when it says so already."""
    ca = base64.b64encode(Path(layout.root_certificate).read_bytes()).decode()
    token = Path(layout.admin_token).read_text().strip()
    url = f"https://{stack.galley}:{CONFIG_API_PORT}"
    text = json.dumps(mesh_objects.kubeconfig(url, ca, token, f"meshcore-{stack.number}"), indent=2) + "\n"
    path = Path(layout.kubeconfig)
    if not path.exists() or path.read_text() != text:
        write_private(path, text)


def follow_bundle(stack: Stack, layout: Layout, bundle: bytes) -> None:
    """Keep what is ours at a bundle (PEM): nobody else renews this certificate while the command line waits.

    UNAVAILABLE when Citadel does not renew it.
    """
    own = LiveIdentity.load(Path(layout.identities) / "meshctl")
    if own.current.root != bundle or not leads_to_first(own.current.chain, bundle):
        own.replace(asyncio.run(renew(own.current, f"{stack.citadel}:{CA_PORT}")))
    if Path(layout.root_certificate).read_bytes() == bundle:
        write_kubeconfig(stack, layout)
