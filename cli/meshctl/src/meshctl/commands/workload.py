"""meshctl workload: workloads outside of the cluster."""

from pathlib import Path
from typing import Annotated

import typer
from meshcore.errors import ErrorCode, MeshError
from meshcore.model import WorkloadGroup
from meshcore.model.kinds import by_kind
from meshcore.model.load import parse_object

from meshctl.adapters.config_api import ConfigApi
from meshctl.adapters.config_files import read_documents
from meshctl.adapters.processes import write_private
from meshctl.adapters.stack_files import layout_of, stack_from
from meshctl.adapters.text_files import read_text
from meshctl.commands.objects import config_api
from meshctl.commands.options import StackOption, failing_clearly
from meshctl.core.mesh_objects import ROOT_NAMESPACE
from meshctl.core.topology import CA_PORT, XDS_PORT
from meshctl.core.vm_files import VmOptions, vm_files

app = typer.Typer(help="Workloads outside of the cluster.", no_args_is_help=True)
entry = typer.Typer(help="The files with which a workload joins the mesh.", no_args_is_help=True)
app.add_typer(entry, name="entry")
GROUP = by_kind("networking.istio.io/v1", "WorkloadGroup")


@entry.command("configure")
@failing_clearly
def configure(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the files are written to.")],
    file: Annotated[str | None, typer.Option("--file", "-f", help="File with the WorkloadGroup.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of a WorkloadGroup that the mesh has.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of that WorkloadGroup.")] = "default",
    cluster_id: Annotated[
        str, typer.Option("--clusterID", help="The cluster that the workload belongs to.")
    ] = "Kubernetes",
    autoregister: Annotated[bool, typer.Option(help="Register with the group when the agent starts.")] = True,
    capture_dns: Annotated[
        bool, typer.Option("--capture-dns/--no-capture-dns", help="Have the agent answer DNS.")
    ] = True,
    internal_ip: Annotated[str, typer.Option("--internalIP", help="The workload's address.")] = "",
    pilot: Annotated[str, typer.Option("--pilot", help="host:port; the stack's own by default.")] = "",
    citadel: Annotated[str, typer.Option("--citadel", help="host:port; the stack's own by default.")] = "",
    control_plane: Annotated[
        str, typer.Option("--ingressIP", help="Address for the names of the two, for the hosts file.")
    ] = "",
    stack: StackOption = None,
) -> None:
    """Write cluster.env, mesh.yaml, root-cert.pem, istio-token and hosts for the workloads of a WorkloadGroup."""
    chosen = stack_from(stack)
    layout = layout_of(chosen)
    with config_api(stack, None) as api:
        group = _group(api, file, name, namespace)
        mesh = api.read(by_kind("v1", "ConfigMap"), ROOT_NAMESPACE, "istio")
        options = VmOptions(
            pilot=pilot or f"{chosen.pilot(1)}:{XDS_PORT}",
            citadel=citadel or f"{chosen.citadel}:{CA_PORT}",
            cluster_id=cluster_id,
            auto_register=autoregister,
            capture_dns=capture_dns,
            control_plane=control_plane,
            internal_ip=internal_ip,
        )
        account = group.spec.template.service_account or "default"
        files = {
            **vm_files(group, mesh, options),
            "root-cert.pem": read_text(layout.root_certificate),
            "istio-token": api.workload_token(group.metadata.namespace, account),
        }
    for file_name, text in files.items():
        write_private(output / file_name, text)
    print(f"Wrote {', '.join(sorted(files))} to {output}. The token is good for one first certificate: keep it safe.")


def _group(api: ConfigApi, file: str | None, name: str | None, namespace: str) -> WorkloadGroup:
    """From a file, else from the mesh; INVALID without either and for a file with anything but one WorkloadGroup."""
    if file is None and name is None:
        raise MeshError(ErrorCode.INVALID, "say which WorkloadGroup: --file, or --name and --namespace")
    documents = [found.body for found in read_documents([file])] if file is not None else []
    if name is not None:
        documents = [api.read(GROUP, namespace, name)]
    parsed = parse_object(documents[0]) if len(documents) == 1 else None
    if not isinstance(parsed, WorkloadGroup):
        raise MeshError(ErrorCode.INVALID, f"{file or name} is not one WorkloadGroup")
    return parsed
