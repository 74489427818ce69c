"""`istio-iptables`: the command of init containers, with Istio's flags, and of `meshctl iptables`."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from meshcore.errors import MeshError

from envoy_bootstrap.adapters.capture.host import enter_network_namespace, host_facts
from envoy_bootstrap.adapters.capture.nft_capture import NftCapture
from envoy_bootstrap.adapters.capture.probe import is_captured
from envoy_bootstrap.adapters.capture.routes import route_commands
from envoy_bootstrap.adapters.capture.traffic_capture import TrafficCapture
from envoy_bootstrap.core.capture.config import CaptureConfig, build_config
from envoy_bootstrap.core.capture.flags import FLAGS, read_flags
from envoy_bootstrap.core.capture.nft_rules import nft_transaction
from envoy_bootstrap.core.capture.restore import applied_to_none
from envoy_bootstrap.core.capture.rules import capture_rules
from envoy_bootstrap.core.capture.texts import Kind, is_true

NOT_CAPTURED = 126
"""Istio's exit code of a validation that failed."""


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """0 when it is done, 1 with what is wrong on standard error, 126 when the validation finds nothing captured."""
    try:
        return _run(read_flags(_given(argv), environment))
    except MeshError as error:
        for line in (error.detail, *(str(violation) for violation in error.violations)):
            _say(line)
        return 1


def _given(argv: Sequence[str]) -> dict[str, str]:
    parser = argparse.ArgumentParser(
        prog="istio-iptables", allow_abbrev=False, description="Send a workload's traffic through its proxy."
    )
    for flag in FLAGS:
        if flag.is_variable_only:
            continue
        names = (f"--{flag.name}", *((f"-{flag.letter}",) if flag.letter else ()))
        about = flag.help + (f" Default: {flag.default}." if flag.default else "")
        if flag.kind is Kind.BOOLEAN:
            parser.add_argument(*names, dest=flag.name, action="store_const", const="true", help=about)
        else:
            parser.add_argument(*names, dest=flag.name, metavar=flag.kind.name, help=about)
    # Go's flags: a boolean takes no word behind it, and may say --flag=false
    booleans = {f"--{flag.name}" for flag in FLAGS if flag.kind is Kind.BOOLEAN}
    valued = dict(word.split("=", 1) for word in argv if word.split("=")[0] in booleans and "=" in word)
    said = vars(parser.parse_args([word for word in argv if word.split("=")[0] not in valued or "=" not in word]))
    given = {name: text for name, text in said.items() if text is not None}
    return given | {name.removeprefix("--"): text for name, text in valued.items()}


def _run(texts: Mapping[str, str]) -> int:
    if texts["network_namespace"]:
        enter_network_namespace(texts["network_namespace"])
    config = build_config(texts, host_facts(texts["envoy_user"]))
    if not config.captures_dns and is_true(texts["redirect_dns"]):
        _say("DNS is not captured: resolv.conf names no server, and --capture-all-dns is not given")
    native = is_true(texts["native_nftables"])
    if is_true(texts["dry_run"]):
        sys.stdout.write(_dry_run(config, native=native))
        return 0
    if native:
        _use(NftCapture(config, _say), texts)
    else:
        iptables = TrafficCapture(config, _say, texts["force_iptables_binary"])
        how = {"reconcile": is_true(texts["reconcile"]), "force": is_true(texts["force_apply"])}
        _use(iptables, texts, **how)
    if is_true(texts["run_validation"]):
        for version in config.probed_families:
            if not is_captured(config, version):
                _say(f"IPv{version} is not captured: the pod was started before its rules were there")
                return NOT_CAPTURED
        _say("the validation has passed: connections are captured")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _use(capture: TrafficCapture | NftCapture, texts: Mapping[str, str], **how: bool) -> None:
    if is_true(texts["cleanup_only"]):
        capture.remove()
    elif not is_true(texts["skip_rule_apply"]):
        capture.apply(**how)


def _dry_run(config: CaptureConfig, *, native: bool) -> str:
    parts = [f"# {' '.join(command)}\n" for command in route_commands(config)]
    if native:
        return "".join((*parts, "# nft -f -\n", nft_transaction(config)))
    for version in config.families:
        parts.append(f"# {'iptables' if version == 4 else 'ip6tables'}-restore --noflush\n")
        parts.append(applied_to_none(capture_rules(config, version)))
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
