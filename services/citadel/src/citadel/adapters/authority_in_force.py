"""The authority that signs at this moment, and those who act when it changes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cryptography import x509

from citadel.core.authority import Authority, key_id_of

Listener = Callable[[Authority, Authority], None]


class AuthorityInForce:
    """Replaced as a whole: a certificate is signed under the old or the new one, never under half of each."""

    def __init__(self, authority: Authority, signers: Mapping[str, x509.Certificate] | None = None) -> None:
        self._current = authority
        self._listeners: list[Listener] = []
        self.generation = 0
        """Counts the changes, of signers too."""
        self._signers = {authority.key_id: authority.certificate} | dict(signers or {})

    @property
    def current(self) -> Authority:
        """What signs now."""
        return self._current

    @property
    def signers(self) -> Iterable[x509.Certificate]:
        """Every certificate of ours that client certificates may be issued by, the present one first."""
        first = self._signers.get(self._current.key_id)
        return ([] if first is None else [first]) + [one for one in self._signers.values() if one is not first]

    @property
    def by_key(self) -> Mapping[str, x509.Certificate]:
        """The same by their key ids."""
        return self._signers

    def on_change(self, listener: Listener) -> None:
        """Call `listener(former, present)` after every change."""
        self._listeners.append(listener)

    def replace(self, authority: Authority, signers: Mapping[str, x509.Certificate] | None = None) -> None:
        """Take another one into use; roots of signers and of others stay beside its own. The same one again changes
        nothing."""
        self.generation += 1
        if signers is not None:
            self._signers = dict(signers)
        self._signers[key_id_of(authority.certificate)] = authority.certificate
        self._put(replace(authority, foreign=self._current.foreign, registered=self._current.registered))

    def trust(self, foreign: tuple[x509.Certificate, ...], registered: tuple[x509.Certificate, ...] = ()) -> None:
        """Have peers trust these roots of others as well, and the whole mesh those of signers that are asked."""
        self._put(replace(self._current, foreign=foreign, registered=registered))

    def know(self, signers: Mapping[str, x509.Certificate]) -> None:
        """Take client certificates of these signers as ours, and of no other but the one in force."""
        known = {self._current.key_id: self._current.certificate} | dict(signers)
        if known != self._signers:
            self._signers = known
            self.generation += 1

    def _put(self, authority: Authority) -> None:
        former = self._current
        if _parts(former) == _parts(authority):
            return
        self._current = authority
        self.generation += 1
        for listener in self._listeners:
            listener(former, authority)


def _parts(authority: Authority) -> tuple[object, ...]:
    return (
        authority.certificate,
        authority.intermediates,
        authority.roots,
        authority.foreign,
        authority.registered,
        authority.revoked_pem,
    )
