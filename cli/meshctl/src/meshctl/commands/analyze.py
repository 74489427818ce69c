"""meshctl analyze: what is wrong with objects taken together, in files, in the running stack, or in both."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import typer
from galley.core.analysis.documents import read_documents
from galley.core.analysis.message_types import is_known
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.kinds import KINDS, KindInfo
from meshcore.model.load import Document, load_yaml_documents

from meshctl.adapters.config_files import config_paths
from meshctl.adapters.text_files import read_text
from meshctl.commands.objects import KubeconfigOption, config_api
from meshctl.commands.options import StackOption, complain, failing_clearly
from meshctl.core.analysis import (
    BAD_USAGE,
    FORMATS,
    Request,
    analyze_documents,
    analyzer_list,
    exit_code,
    nothing_found,
    parse_boolean,
    parse_level,
    parse_suppressions,
    render,
    shown,
)


@failing_clearly
def analyze(
    paths: Annotated[list[str] | None, typer.Argument(help="Files, folders, or - for standard input.")] = None,
    use_kube: Annotated[
        str | None,
        typer.Option(
            "--use-kube",
            "-k",
            metavar="BOOL",
            help="Take the objects of the running stack too, the files laid over them [default: only without files].",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Show this namespace only; documents that name none are put into it."),
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Show all namespaces.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="log, json or yaml.")] = "log",
    suppress: Annotated[
        list[str] | None,
        typer.Option("--suppress", "-S", help="CODE=RESOURCE, as IST0103=Pod *.shop (repeatable)."),
    ] = None,
    failure_threshold: Annotated[
        str, typer.Option("--failure-threshold", help="Fail from this level on: Info, Warning, Error.")
    ] = "Error",
    output_threshold: Annotated[
        str, typer.Option("--output-threshold", help="Show from this level on: Info, Warning, Error.")
    ] = "Info",
    analyzer: Annotated[
        list[str] | None, typer.Option("--analyzer", help="Run only this analyzer (repeatable).")
    ] = None,
    list_analyzers: Annotated[bool, typer.Option("--list-analyzers", "-L", help="Only list them.")] = False,
    mesh_config_file: Annotated[
        str | None, typer.Option("--meshConfigFile", "--mesh-config-file", help="MeshConfig to suppose.")
    ] = None,
    mesh_networks_file: Annotated[
        str | None, typer.Option("--meshNetworksFile", "--mesh-networks-file", help="MeshNetworks to suppose.")
    ] = None,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Do not fail for what cannot be read.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="With each line also the proposed fix.")] = False,
    kubeconfig: KubeconfigOption = None,
    stack: StackOption = None,
) -> None:
    """Analyze objects taken together; exit code 79 when a message is as bad as the failure threshold."""
    if list_analyzers:
        print(analyzer_list())
        return
    output = output.lower()
    if output not in FORMATS:
        complain(f"error: {output} is not a format; there are {', '.join(FORMATS)}")
        raise typer.Exit(BAD_USAGE)
    fail_from, show_from = parse_level(failure_threshold), parse_level(output_threshold)
    given = list(paths or ())
    live = parse_boolean(use_kube) if use_kube is not None else not given
    request = Request(
        analyzers=tuple(analyzer or ()),
        suppressions=parse_suppressions(suppress or ()),
        namespace=namespace,
        all_namespaces=all_namespaces,
        mesh_config=_mesh_document(mesh_config_file),
        mesh_networks=_mesh_document(mesh_networks_file),
    )
    for suppression in request.suppressions:
        if not is_known(suppression.code):
            complain(f"Warning: no message has the code '{suppression.code}': the suppression has no effect.")
    documents, problems = _read(given)
    existing = None
    if live:
        with config_api(stack, kubeconfig) as api:
            existing = live_documents(api)
    messages = analyze_documents(documents, existing, request, time.time())
    printed = shown(messages, show_from)
    if printed or output != "log":
        print(render(printed, output, show_fixes=verbose or sys.stdout.isatty()))
    complain(*(f"error: {problem}" for problem in problems))
    if not printed:
        complain(nothing_found(given, live, problems))
    if code := exit_code(messages, problems, fail_from, output, ignore_unknown=ignore_unknown):
        raise typer.Exit(code)


def _mesh_document(path: str | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    documents = load_yaml_documents(read_text(path), path)
    body = documents[0].body if documents else {}
    if not isinstance(body, Mapping):
        raise MeshError(ErrorCode.INVALID, f"{path} is not a mapping")
    return body


def _read(paths: Sequence[str]) -> tuple[list[Document], list[Violation]]:
    documents: list[Document] = []
    problems: list[Violation] = []
    for path in config_paths(paths):
        found, wrong = read_documents(read_text(path), path)
        documents += found
        problems += wrong
    return documents, problems


class _Lists(Protocol):
    """What lists objects of a kind."""

    def list_objects(self, kind: KindInfo, namespace: str | None) -> dict[str, Any]: ...


def live_documents(api: _Lists) -> list[Document]:
    """Every object of every kind that the config API serves."""
    documents = []
    for kind in KINDS:
        try:
            items = api.list_objects(kind, None).get("items", ())
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            continue
        documents += [
            Document("", 0, {"apiVersion": kind.api_version, "kind": kind.kind} | dict(item)) for item in items
        ]
    return documents
