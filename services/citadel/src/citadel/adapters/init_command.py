"""The command line of `python -m citadel init`."""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from meshcore.durations import parse_duration
from meshcore.errors import MeshError

from citadel.adapters.first_start import InitOptions, initialise
from citadel.adapters.istio_root import IstioRoot
from citadel.adapters.private_files import give_to
from citadel.core.members import Installation, InstallProfile, parse_extra_name

DEFAULT_ROOT_TTL = "87600h"


def init(argv: Sequence[str]) -> int:
    """Run `init` and say what was written; 0 when the directory is complete, 1 or 2 with a reason otherwise."""
    arguments = _parser().parse_args(argv)
    try:
        written = asyncio.run(initialise(_options(arguments)))
        if arguments.owner is not None:
            give_to(arguments.dir, *arguments.owner)
    except (MeshError, OSError) as error:
        sys.stderr.write(f"citadel init: {error}\n")
        return 1
    for name in written:
        sys.stdout.write(f"{name}\n")
    return 0


def _options(arguments: argparse.Namespace) -> InitOptions:
    extra: dict[str, tuple[str, ...]] = {}
    for service, names in (parse_extra_name(text) for text in arguments.san):
        extra[service] = (*extra.get(service, ()), *names)
    installation = Installation(
        trust_domain=arguments.trust_domain,
        profile=InstallProfile(arguments.profile),
        stack=arguments.stack,
        extra_names=extra,
    )
    istio_root = None
    if arguments.istio_root is not None:
        istio_root = IstioRoot(arguments.istio_root, installation.root_namespace, arguments.use_cacerts)
    return InitOptions(
        directory=arguments.dir,
        installation=installation,
        root_ttl=arguments.root_ttl,
        root_algorithm=arguments.root_key,
        database_url=arguments.database_url,
        nats_dir=arguments.nats_dir,
        nats_store=arguments.nats_store,
        state_keys=tuple(arguments.state_key),
        plugged_in=arguments.ca_dir,
        istio_root=istio_root,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m citadel init", description="Make every first key and certificate.")
    parser.add_argument("--dir", type=Path, required=True, help="directory to write, one sub-directory per service")
    parser.add_argument("--trust-domain", default="cluster.local")
    parser.add_argument("--profile", choices=[profile.value for profile in InstallProfile], default="machine")
    parser.add_argument("--stack", type=int, default=1, help="number of the stack on this machine, 1 to 254")
    parser.add_argument("--san", action="append", default=[], metavar="SERVICE=NAME,...", help="further names")
    parser.add_argument("--root-key", choices=["ecdsa", "rsa"], default="ecdsa", help="P-256 or RSA-2048")
    parser.add_argument(
        "--root-ttl",
        type=_duration,
        default=os.environ.get("CITADEL_SELF_SIGNED_CA_CERT_TTL", DEFAULT_ROOT_TTL),
        help="life of the root (CITADEL_SELF_SIGNED_CA_CERT_TTL), default 87600h",
    )
    parser.add_argument(
        "--ca-dir",
        type=Path,
        default=os.environ.get("ROOT_CA_DIR"),
        help="folder of a plugged-in authority (ROOT_CA_DIR): ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem",
    )
    parser.add_argument(
        "--istio-root",
        type=Path,
        metavar="KUBECONFIG",
        default=os.environ.get("CITADEL_ISTIO_ROOT"),
        help="go on with the root of the istiod of this cluster (CITADEL_ISTIO_ROOT): istio-ca-secret, or cacerts",
    )
    parser.add_argument(
        "--use-cacerts",
        action="store_true",
        default=os.environ.get("USE_CACERTS_FOR_SELF_SIGNED_CA", "").lower() == "true",
        help="istiod has its root in cacerts (USE_CACERTS_FOR_SELF_SIGNED_CA)",
    )
    parser.add_argument("--database-url", default=os.environ.get("CITADEL_DATABASE_URL"))
    parser.add_argument("--nats-dir", help="where the NATS server sees its sub-directory")
    parser.add_argument("--nats-store", help="where the NATS server keeps JetStream")
    parser.add_argument("--owner", type=_owner, metavar="UID[:GID]", help="give all files to this user")
    parser.add_argument(
        "--state-key", action="append", default=[], type=_state_key, metavar="NAMESPACE.NAME", help="key of an agent"
    )
    return parser


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _owner(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    if not uid.isdigit() or (gid and not gid.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not UID or UID:GID")
    return int(uid), int(gid or uid)


def _state_key(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][-.a-z0-9]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE.NAME")
    return text
