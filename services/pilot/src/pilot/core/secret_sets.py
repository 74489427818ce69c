"""Compiled sets together with the Secrets that their users may have, made once for each class. Pure."""

from dataclasses import dataclass, field
from types import MappingProxyType

from meshcore.xds.resource import Resources, ResourceSet
from meshcore.xds.secret_book import SecretBook
from meshcore.xds.types import EXTENSION_CONFIG_TYPE

from pilot.core.config_map_roots import ConfigMaps, config_map_roots
from pilot.core.proxy import ProxyClass
from pilot.core.secret_needs import account_of
from pilot.core.secret_rights import SecretRights
from pilot.core.stream import Stream


def beside(own: ResourceSet, proxys: ResourceSet) -> ResourceSet:
    """What an agent is to have that keeps things for its proxy: its own, and the proxy's extensions and Secrets."""
    extensions = proxys.of_type(EXTENSION_CONFIG_TYPE)
    if not extensions and not proxys.secrets:
        return own
    resources = {**own.resources, EXTENSION_CONFIG_TYPE: extensions}
    return ResourceSet(MappingProxyType(resources), own.diagnostics, proxys.secrets)


@dataclass
class SecretSets:
    """`book` is what is known of Secrets; its generation moves with rights and ConfigMaps, too."""

    book: SecretBook
    rights: SecretRights
    _made: dict[ProxyClass, tuple[ResourceSet, int, ResourceSet]] = field(default_factory=dict)
    """By class: the compiled set, the generation of the book, and both together."""

    def completed(self, made: ResourceSet, stream: Stream, maps: ConfigMaps) -> ResourceSet:
        """What a stream is to have, with the Secrets that `made` refers to if its client may have them."""
        one = stream.of_class
        if one is None or not made.secrets or not stream.proxy.identity:
            return made
        if stream.secret_class is not None:
            return made.with_secrets(self._served(made, stream, maps))
        known = self._made.get(one)
        if known is not None and known[0] is made and known[1] == self.book.generation:
            return known[2]
        whole = made.with_secrets(self._served(made, stream, maps))
        self._made[one] = (made, self.book.generation, whole)
        return whole

    def forget(self, one: ProxyClass) -> None:
        """Nobody is of this class any more."""
        self._made.pop(one, None)

    def _served(self, made: ResourceSet, stream: Stream, maps: ConfigMaps) -> Resources:
        allowed = self.rights.names_for(account_of(stream), made.secrets)
        return {**self.book.resources(allowed, stream.proxy.namespace), **config_map_roots(allowed, maps)[0]}
