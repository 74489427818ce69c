"""What Citadel reads of MeshConfig: whether it agrees about the trust domain, and whom peers trust besides. Pure.

The trust domain is a parameter of `init`, baked into every certificate; a MeshConfig that names another one is
reported, not obeyed. `trustDomainAliases` and `caCertificates` (`pem`, `certSigners`) are obeyed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from cryptography import x509
from meshcore.distribution.keys import Key

MESH_KEY = "mesh"


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """`trust_domain` is None when MeshConfig names none; `problems` says what of it was passed over."""

    trust_domain: str | None = None
    aliases: frozenset[str] = frozenset()
    foreign_roots: tuple[x509.Certificate, ...] = ()
    """Every root of `caCertificates`."""
    signer_roots: Mapping[str, tuple[x509.Certificate, ...]] = field(default_factory=dict)
    """Those of them that are of a signer, by its name."""
    problems: tuple[str, ...] = ()


def mesh_config_key(root_namespace: str, name: str) -> Key:
    """Where MeshConfig is published."""
    return Key("", "configmaps", root_namespace, name)


def mesh_settings(config_map: Mapping[str, Any] | None) -> MeshSettings:
    """What a ConfigMap's MeshConfig says; nothing when it is absent or not readable."""
    text = ((config_map or {}).get("data") or {}).get(MESH_KEY)
    if not isinstance(text, str):
        return MeshSettings()
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return MeshSettings(problems=("mesh config is no YAML",))
    if not isinstance(document, Mapping):
        return MeshSettings()
    named, aliases = document.get("trustDomain"), document.get("trustDomainAliases")
    roots: dict[x509.Certificate, None] = {}
    signer_roots: dict[str, tuple[x509.Certificate, ...]] = {}
    problems: list[str] = []
    entries = document.get("caCertificates")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        try:
            found = x509.load_pem_x509_certificates(str(entry["pem"]).encode())
            signers = entry.get("certSigners") or ()
            for signer in signers if isinstance(signers, list) else ():
                signer_roots[str(signer)] = tuple(dict.fromkeys((*signer_roots.get(str(signer), ()), *found)))
            roots |= dict.fromkeys(found)
        except (KeyError, TypeError):
            problems.append(f"caCertificates[{index}] has no pem, and SPIFFE bundle endpoints are not asked")
        except ValueError:
            problems.append(f"caCertificates[{index}].pem is not made of PEM certificates")
    return MeshSettings(
        named if isinstance(named, str) and named else None,
        frozenset(name for name in aliases if isinstance(name, str)) if isinstance(aliases, list) else frozenset(),
        tuple(roots),
        signer_roots,
        tuple(problems),
    )
