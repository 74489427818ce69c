"""meshctl apply, get, delete: config objects of the running stack."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
import yaml
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.kinds import KINDS, KindInfo, by_kind
from meshcore.model.load import Document

from meshctl.adapters.admin_api import galley_of
from meshctl.adapters.config_api import ConfigApi, open_config_api
from meshctl.adapters.config_files import read_some_documents
from meshctl.adapters.stack_files import layout_of, stack_from
from meshctl.adapters.text_files import read_text
from meshctl.commands.options import (
    FilesOption,
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    complain,
    failing_clearly,
    print_document,
    print_table,
)
from meshctl.core.documents import named_object, named_objects
from meshctl.core.dry_run import change_set, outcome_lines, violation_lines, warning_lines
from meshctl.core.kube_config import read_kubeconfig
from meshctl.core.topology import CONFIG_API_PORT

KubeconfigOption = Annotated[
    str | None, typer.Option("--kubeconfig", "-c", help="Use the config API of this kubeconfig.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Ask for the verdict, change nothing.")]


def config_api(stack: int | None, kubeconfig: str | None) -> ConfigApi:
    """The config API of a kubeconfig, else of the running stack as its administrator."""
    if kubeconfig is not None:
        target = read_kubeconfig(_parsed(kubeconfig), kubeconfig)
        return ConfigApi(target.server, target.ca, target.token)
    chosen = stack_from(stack)
    layout = layout_of(chosen)
    url = f"https://{chosen.galley}:{CONFIG_API_PORT}"
    return open_config_api(url, layout.root_certificate, layout.admin_token)


def _parsed(path: str) -> Any:
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise MeshError(ErrorCode.INVALID, f"{path} is not YAML: {str(error).splitlines()[0]}") from None


@failing_clearly
def apply(
    filename: FilesOption,
    namespace: NamespaceOption = "default",
    dry_run: DryRunOption = False,
    kubeconfig: KubeconfigOption = None,
    stack: StackOption = None,
) -> None:
    """Make the objects of the files what the files say.

    A dry run takes the files as one change and also says what analysis would say after it. (With --kubeconfig each
    object is tried for itself, because other servers know nothing else.)
    """
    failed = False
    documents = read_some_documents(filename)
    if dry_run and kubeconfig is None:
        _foresee(documents, namespace, stack)
        return
    with config_api(stack, kubeconfig) as api:
        for document in documents:
            try:
                print(f"{api.apply(named_object(document), namespace, dry_run)}{' (dry run)' if dry_run else ''}")
            except MeshError as error:
                failed = True
                found = [document.locate(violation) for violation in error.violations]
                complain(f"{document.file}:{document.line}: {error.detail}", *(f"  {violation}" for violation in found))
            complain(*(f"Warning: {text}" for text in api.take_warnings()))
    if failed:
        raise typer.Exit(1)


def _foresee(documents: Sequence[Document], namespace: str, stack: int | None) -> None:
    request = change_set(documents, namespace)
    with galley_of(stack) as galley:
        answer = galley.try_out("/api/v1/changesets", request)
    complain(*warning_lines(answer))
    if "violations" in answer:
        complain(*violation_lines(answer, documents))
        raise typer.Exit(1)
    for line in outcome_lines(answer):
        print(line)


@failing_clearly
def delete(
    target: Annotated[list[str] | None, typer.Argument(help="KIND NAME...")] = None,
    filename: Annotated[list[str] | None, typer.Option("--filename", "-f", help="File, folder, or -.")] = None,
    namespace: NamespaceOption = "default",
    ignore_not_found: Annotated[bool, typer.Option("--ignore-not-found", help="A missing object is no error.")] = False,
    kubeconfig: KubeconfigOption = None,
    stack: StackOption = None,
) -> None:
    """Delete objects, by file or by kind and name."""
    failed = False
    targets = _targets(target or [], filename or [])
    with config_api(stack, kubeconfig) as api:
        for document in targets:
            try:
                print(api.delete(document, namespace))
            except MeshError as error:
                if error.code is ErrorCode.NOT_FOUND and ignore_not_found:
                    continue
                failed = True
                complain(f"error: {error}")
    if failed:
        raise typer.Exit(1)


def _targets(target: list[str], filename: list[str]) -> list[dict[str, Any]]:
    """What to delete, the last of a file first, so that what others rest on goes last."""
    if bool(target) == bool(filename):
        raise MeshError(ErrorCode.INVALID, "say either -f FILE or KIND NAME")
    if filename:
        bodies = named_objects(read_some_documents(filename))
        return list({identity_of(body): body for body in reversed(bodies)}.values())
    if len(target) < 2:
        raise MeshError(ErrorCode.INVALID, "say KIND NAME")
    kind = find_kind(target[0])
    return [{"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}} for name in target[1:]]


def identity_of(body: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What makes two documents the same object: group, kind, namespace as written, name."""
    metadata = body.get("metadata") or {}
    group = str(body.get("apiVersion", "")).rpartition("/")[0]
    return group, str(body.get("kind")), str(metadata.get("namespace") or ""), str(metadata.get("name"))


@failing_clearly
def get(
    target: Annotated[list[str] | None, typer.Argument(help="KIND [NAME]")] = None,
    filename: Annotated[list[str] | None, typer.Option("--filename", "-f", help="The objects of these files.")] = None,
    namespace: NamespaceOption = "default",
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Objects of all namespaces.")] = False,
    output: OutputOption = Output.TABLE,
    kubeconfig: KubeconfigOption = None,
    stack: StackOption = None,
) -> None:
    """Show objects, by kind (and name) or by file."""
    bodies = named_objects(read_some_documents(filename)) if filename else []
    with config_api(stack, kubeconfig) as api:
        if filename:
            items = [_live(api, body, namespace) for body in bodies]
            print_document({"apiVersion": "v1", "kind": "List", "items": items}, output)
            return
        if not target or len(target) > 2:
            raise MeshError(ErrorCode.INVALID, "say KIND [NAME] or -f FILE")
        kind, name = find_kind(target[0]), target[1] if len(target) > 1 else ""
        space = None if all_namespaces and not name else namespace
        found = api.list_objects(kind, space if kind.namespaced else None, name, table=output is Output.TABLE)
    if output is Output.TABLE:
        print_server_table(found, all_namespaces)
    else:
        print_document(found, output)


def _live(api: ConfigApi, body: dict[str, Any], namespace: str) -> dict[str, Any]:
    kind = by_kind(str(body.get("apiVersion", "")), str(body.get("kind", "")))
    metadata = body.get("metadata", {})
    return api.read(kind, metadata.get("namespace") or namespace if kind.namespaced else "", str(metadata.get("name")))


def find_kind(word: str) -> KindInfo:
    """The kind that a user means by its plural, singular, short name or kind, with or without `.group`."""
    name, _, group = word.lower().partition(".")
    for kind in KINDS:
        names = {kind.plural, kind.singular, kind.kind.lower(), *kind.short_names}
        if name in names and group in ("", kind.group):
            return kind
    raise MeshError(ErrorCode.NOT_FOUND, f"no kind is called {word!r}")


def print_server_table(document: dict[str, Any], with_namespace: bool) -> None:
    """Prints the server's own table (`meta.k8s.io/v1` Table), its default columns."""
    columns = [(index, column) for index, column in enumerate(document["columnDefinitions"])]
    shown = [(index, column) for index, column in columns if not column.get("priority")]
    rows = document.get("rows") or []
    if not rows:
        complain("No resources found.")
        return
    lines = []
    for row in rows:
        space = [str(row.get("object", {}).get("metadata", {}).get("namespace", ""))] if with_namespace else []
        lines.append([*space, *(_cell(row["cells"][index]) for index, _ in shown)])
    names = [*(["NAMESPACE"] if with_namespace else []), *(str(column["name"]).upper() for _, column in shown)]
    print_table((names, lines))


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
