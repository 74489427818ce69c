"""meshctl compile: the whole xDS of one proxy, from config files alone."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from meshcore.errors import ErrorCode, MeshError
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.config_dump import config_dump

from meshctl.adapters.config_files import read_some_documents
from meshctl.adapters.text_files import read_text
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
    if (proxy is None) == (node is None):
        raise MeshError(ErrorCode.INVALID, "say either --proxy NAMESPACE/NAME or --node NODE.json")
    objects = read_mesh(read_some_documents(filename), namespace)
    if node is not None:
        described = _read_node(node)
    else:
        space, _, name = str(proxy).rpartition("/")
        described = node_of(objects, space or namespace, name)
    resources = compile_proxy(objects, described)
    for diagnostic in resources.diagnostics:
        complain(f"{diagnostic}")
    document = as_bootstrap(resources, described) if form is Form.BOOTSTRAP else config_dump(resources)
    print_document(document, Output.JSON if output is Output.TABLE else output)


def _read_node(path: str) -> dict[str, object]:
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise MeshError(ErrorCode.INVALID, f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, f"{path} is not a JSON object")
    return document
