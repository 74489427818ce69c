"""What `explain` and `authz check` ask about: who calls whom, and with what request."""

from typing import Annotated

import typer

FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="NAME, NAME.NAMESPACE or NAMESPACE/NAME.")]
ToArgument = Annotated[str, typer.Argument(metavar="TO", help="HOST[:PORT], or a URL of http, https, grpc or tcp.")]
PathOption = Annotated[str, typer.Option("--path", help="Path and query; wins over that of a URL.")]
MethodOption = Annotated[str, typer.Option("--method", help="The request's method.")]
HeaderOption = Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Wins over that of TO.")]
FilesOption = Annotated[
    list[str] | None, typer.Option("--filename", "-f", help="Ask these files, not the running mesh.")
]
