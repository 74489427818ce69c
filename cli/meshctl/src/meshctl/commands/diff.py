"""meshctl diff: which proxies' xDS would change, and how, if files were applied."""

from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.base import MeshObject
from meshcore.model.load import dump_object

from meshctl.adapters.config_files import read_some_documents
from meshctl.commands.compile import node_from
from meshctl.commands.options import (
    FilesOption,
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    failing_clearly,
    print_document,
    printable,
)
from meshctl.commands.proxies import running_pilot
from meshctl.core.effects import render_effect
from meshctl.core.offline_mesh import places_of, read_mesh, supposed_effect


@failing_clearly
def diff(
    filename: FilesOption,
    against: Annotated[
        list[str] | None, typer.Option("--against", help="Offline: the files of the mesh as it is.")
    ] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", help="Offline: NAMESPACE/NAME of a workload.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="Offline: file with Envoy's Node as JSON.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="The objects of the files would be deleted.")] = False,
    namespace: NamespaceOption = "default",
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Show which proxies would be sent what if the objects of the files were applied. Changes nothing."""
    documents = read_some_documents(filename)
    changed = read_mesh(documents, namespace)
    if not changed:
        raise MeshError(ErrorCode.NOT_FOUND, f"no object of the mesh in {', '.join(filename)}")
    places = places_of(documents, namespace)
    if against is None:
        if proxy is not None or node is not None:
            raise MeshError(ErrorCode.INVALID, "--proxy and --node compare files: say --against FILES too")
        with running_pilot(stack) as pilot:
            effect = pilot.what_if([_change(item, delete) for item in changed])
    else:
        before = read_some_documents(against)
        objects = read_mesh(before, namespace)
        places = {**places_of(before, namespace), **places}
        described = node_from([*objects, *changed], proxy, node, namespace)
        effect = supposed_effect(objects, changed, described, removed=delete)
    if output is Output.TABLE:
        for line in render_effect(effect, places):
            print(printable(line))
    else:
        print_document(effect, output)


def _change(item: MeshObject, delete: bool) -> dict[str, Any]:
    return {"operation": "delete" if delete else "apply", "object": dump_object(item)}
