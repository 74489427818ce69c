"""meshctl explain: where a request would go, and which config decided."""

from typing import Any

from meshcore.errors import ErrorCode, MeshError
from pilot.core.simulation import parse_question

from meshctl.adapters.config_files import read_some_documents
from meshctl.commands.options import (
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    failing_clearly,
    print_document,
    printable,
)
from meshctl.commands.proxies import running_pilot, split_proxy
from meshctl.commands.question_options import (
    FilesOption,
    FromArgument,
    HeaderOption,
    MethodOption,
    PathOption,
    PortOption,
    ToArgument,
)
from meshctl.core.explained import Places, render_explanation, with_places
from meshctl.core.offline_mesh import explain_request, node_of, places_of, read_mesh


@failing_clearly
def explain(
    source: FromArgument,
    to: ToArgument,
    path: PathOption = "",
    method: MethodOption = "GET",
    header: HeaderOption = None,
    port: PortOption = 0,
    filename: FilesOption = None,
    namespace: NamespaceOption = "default",
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Say where a request would go: listener, route, cluster, endpoints, mTLS, and which object decided each."""
    document, places = explained(source, to, path, method, header or [], port, filename or [], namespace, stack)
    if output is Output.TABLE:
        for line in render_explanation(document, places):
            print(printable(line))
    else:
        print_document(with_places(document, places), output)


def explained(
    source: str,
    to: str,
    path: str,
    method: str,
    headers: list[str],
    port: int,
    files: list[str],
    namespace: str,
    stack: int | None,
) -> tuple[dict[str, Any], Places]:
    """The explanation of files, with where their objects are, or of the running mesh when there are no files."""
    name, space = split_proxy(source, namespace)
    if not files:
        with running_pilot(stack) as pilot:
            return pilot.explain(f"{name}.{space}", to, path, method, headers, port), {}
    documents = read_some_documents(files)
    objects = read_mesh(documents, namespace)
    question = parse_question(to, path, method, _headers(headers), port)
    return explain_request(objects, node_of(objects, space, name), question).document(), places_of(documents, namespace)


def _headers(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise MeshError(ErrorCode.INVALID, f"the header {text!r} is not of the form NAME: VALUE")
        found[name.strip()] = value.strip()
    return found
