"""meshctl compile: the whole xDS of one proxy, from config files alone."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.base import MeshObject
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.config_dump import config_dump

from meshctl.adapters.config_files import read_some_documents
from meshctl.adapters.text_files import read_json_object
from meshctl.commands.options import FilesOption, NamespaceOption, Output, complain, failing_clearly, print_document
from meshctl.core.offline_mesh import compile_proxy, node_of, read_mesh


class Form(StrEnum):
    """In which form the result is written."""

    CONFIG_DUMP = "config-dump"
    BOOTSTRAP = "bootstrap"


@failing_clearly
def compile(  # noqa: A001 - the name of the command
    filename: FilesOption,
    proxy: Annotated[str | None, typer.Option("--proxy", help="NAMESPACE/NAME of a workload in the files.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="File with Envoy's Node message as JSON.")] = None,
    form: Annotated[Form, typer.Option("--as", help="config-dump, or a static bootstrap.")] = Form.CONFIG_DUMP,
    output: Annotated[Output, typer.Option("--output", "-o", help="json or yaml.")] = Output.JSON,
    namespace: NamespaceOption = "default",
) -> None:
    """Print everything that Pilot would send to one proxy."""
    objects = read_mesh(read_some_documents(filename), namespace)
    described = node_from(objects, proxy, node, namespace)
    resources = compile_proxy(objects, described)
    for diagnostic in resources.diagnostics:
        complain(f"{diagnostic}")
    document = as_bootstrap(resources, described) if form is Form.BOOTSTRAP else config_dump(resources)
    print_document(document, Output.JSON if output is Output.TABLE else output)


def node_from(objects: Iterable[MeshObject], proxy: str | None, node: str | None, namespace: str) -> dict[str, Any]:
    """Envoy's node of a workload of the objects, or from a file; INVALID unless exactly one of both is said."""
    if (proxy is None) == (node is None):
        raise MeshError(ErrorCode.INVALID, "say either --proxy NAMESPACE/NAME or --node NODE.json")
    if node is not None:
        return read_json_object(node)
    space, _, name = str(proxy).rpartition("/")
    return node_of(objects, space or namespace, name)
