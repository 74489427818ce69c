"""Names of secrets, Istio's: `kubernetes://` ones come from Pilot, `file-` ones from the agent beside the proxy. Pure.

secret_reference("kubernetes://tls-cacert", "edge") == SecretReference("edge", ("tls-cacert", "tls"), ca=True)
"""

from dataclasses import dataclass

KUBERNETES = "kubernetes://"
CONFIG_MAP = "configmap://"
PULL = "pull://"
BUILTIN = "builtin://"
EXTERNAL = "sds://"
CA_SUFFIX = "-cacert"
FILE_KEY_PAIR = "file-cert:"
FILE_ROOT = "file-root:"
SYSTEM_ROOTS = "file-root:system"
_CRL = "~crl:"
OF_PILOT = (KUBERNETES, CONFIG_MAP)
_PREFIXES = (KUBERNETES, CONFIG_MAP, BUILTIN, "kubernetes-gateway://", "invalid://")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """What a secret's name stands for: the objects of one namespace that may hold it, the first that exists counts."""

    namespace: str
    names: tuple[str, ...]
    ca: bool = False
    """Whether the root is meant, not the key pair."""
    pull: bool = False
    """Whether credentials of image registries are meant."""


def key_pair_secret(credential: str) -> str:
    """`shop-cert` -> `kubernetes://shop-cert`; explicit prefixes stay, `sds://` falls back to a Secret of that name."""
    if credential.startswith(_PREFIXES):
        return credential
    return KUBERNETES + credential.removeprefix(EXTERNAL)


def ca_secret(credential: str) -> str:
    """`shop-cert` -> `kubernetes://shop-cert-cacert`; what names a root already stays."""
    name = key_pair_secret(credential)
    return name if name.startswith(CONFIG_MAP) or name.endswith(CA_SUFFIX) else name + CA_SUFFIX


def pull_secret(namespace: str, name: str) -> str:
    """The credentials that a Secret of type kubernetes.io/dockerconfigjson has; the agent's alone to ask for."""
    return f"{PULL}{namespace}/{name}"


def is_builtin(credential: str) -> bool:
    """Whether the workload's own certificate is meant."""
    return credential.startswith(BUILTIN)


def is_of_pilot(name: str) -> bool:
    """Whether a proxy has the resource of this name from Pilot, not from the agent beside it."""
    return name.startswith(OF_PILOT)


def secret_reference(name: str, namespace: str) -> SecretReference | None:
    """What a proxy of `namespace` means by the name; None for a name that Pilot does not serve.

    `kubernetes://other/name` says its namespace, and is the caller's to allow or refuse.
    """
    if name.startswith(PULL):
        owner, _, local = name.removeprefix(PULL).partition("/")
        return SecretReference(owner, (local,), pull=True)
    if not name.startswith(KUBERNETES):
        return None
    owner, slash, local = name.removeprefix(KUBERNETES).rpartition("/")
    if not local or "/" in owner or (slash and not owner):
        return None
    if local.endswith(CA_SUFFIX):
        return SecretReference(owner or namespace, (local, local.removesuffix(CA_SUFFIX)), ca=True)
    return SecretReference(owner or namespace, (local,))


def file_key_pair(chain: str, key: str) -> str:
    """The key pair of two files."""
    return f"{FILE_KEY_PAIR}{chain}~{key}"


def file_root(path: str, revoked: str = "") -> str:
    """The root of a file, with the revocation list of another; no path means the roots of the operating system.

    The list goes with the root, unlike with Istio, because Envoy refuses a listener whose list is not there.
    """
    return (f"{FILE_ROOT}{path}" if path else SYSTEM_ROOTS) + (f"{_CRL}{revoked}" if revoked else "")


@dataclass(frozen=True, slots=True)
class FileReference:
    """The files of a secret: `chain` and `key` of a pair, or `root` (empty: the system's) and `revoked`."""

    chain: str = ""
    key: str = ""
    root: str = ""
    revoked: str = ""


def file_reference(name: str) -> FileReference | None:
    """The files that a name stands for; None for a name that is no file's."""
    if name.startswith(FILE_KEY_PAIR):
        chain, tilde, key = name.removeprefix(FILE_KEY_PAIR).partition("~")
        return FileReference(chain=chain, key=key) if chain and tilde and key else None
    if not name.startswith(FILE_ROOT):
        return None
    root, _, revoked = name.removeprefix(FILE_ROOT).partition(_CRL)
    return FileReference(root="" if root == "system" else root, revoked=revoked) if root else None
