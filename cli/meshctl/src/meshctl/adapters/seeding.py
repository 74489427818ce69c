"""What a stack's Galley is given at the start: first objects, config of the workloads, tokens; and the kubeconfig."""

from collections.abc import Iterable
from pathlib import Path

from meshcore.errors import MeshError
from meshcore.model.kinds import by_kind

from meshctl.adapters.config_api import ConfigApi, open_config_api
from meshctl.adapters.config_files import read_documents
from meshctl.adapters.own_trust import write_kubeconfig
from meshctl.adapters.processes import write_private
from meshctl.core import mesh_objects
from meshctl.core.failure import StackFailure
from meshctl.core.plan import StackSettings
from meshctl.core.proxy_settings import ProxySettings
from meshctl.core.workloads import Workload


class Seeding:
    """Writes through the config API at `url` as the stack's administrator."""

    def __init__(self, url: str, settings: StackSettings) -> None:
        self._url, self._settings, self._layout = url, settings, settings.layout

    def _api(self) -> ConfigApi:
        return open_config_api(self._url, self._layout.root_certificate, self._layout.admin_token)

    def seed(self, workloads: Iterable[Workload], config: Iterable[str]) -> None:
        """Creates what is missing, applies the config files, writes the kubeconfig. Raises StackFailure."""
        try:
            with self._api() as api:
                for document in mesh_objects.first_objects(self._settings.trust_domain):
                    api.create_missing(document)
                for document in mesh_objects.objects_of(workloads):
                    api.create_missing(document)
                for found in read_documents(config):
                    api.apply(found.body)
        except MeshError as error:
            raise StackFailure("galley", str(error)) from None
        write_kubeconfig(self._settings.stack, self._layout)

    def proxy_settings(self) -> ProxySettings:
        """What the mesh says of its proxies now. Raises StackFailure."""
        try:
            with self._api() as api:
                config_map = api.read(by_kind("v1", "ConfigMap"), mesh_objects.ROOT_NAMESPACE, "istio")
                configs = api.list_objects(by_kind("networking.istio.io/v1beta1", "ProxyConfig"), None)
        except MeshError as error:
            raise StackFailure("galley", str(error)) from None
        return ProxySettings.of_mesh(config_map, configs["items"])

    def write_token(self, workload: Workload, number: int) -> None:
        """A fresh token where Galley gives one; a sidecar that has its certificate already can do without."""
        path = Path(self._layout.token(number))
        try:
            with self._api() as api:
                token = api.workload_token(workload.namespace, workload.service_account)
        except MeshError:
            if not path.exists():
                raise
        else:
            write_private(path, token)
