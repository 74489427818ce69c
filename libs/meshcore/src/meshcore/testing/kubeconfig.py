"""A kubeconfig for tests: one server, one user with a token."""

import base64
from pathlib import Path

import yaml


def write_kubeconfig(path: Path, url: str, ca_pem: bytes | None, token: str) -> Path:
    """Write it; without `ca_pem` the server is believed by the system's roots, or speaks HTTP."""
    cluster = {"server": url}
    if ca_pem is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    document = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [{"name": "one", "cluster": cluster}],
        "users": [{"name": "one", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path
