"""Citadel as a registration authority: workloads' certificates are a signer's, what may leave is decided here.

Citadel's own authority stays: it signs what the control plane's services have. The roots of the signers are the mesh's
own beside its root. Which root is whose comes from MeshConfig (`caCertificates`, `certSigners`) and, for the default
signer, from a file.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from meshcore.errors import MeshError
from meshcore.runtime.file_stamp import FileStamp, file_stamp
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.kubernetes_signers import KubernetesSigners
from citadel.adapters.ledger import Ledger
from citadel.adapters.signers import active_signers, note_signer
from citadel.core.authority import key_id_of
from citadel.core.caller import AuthenticatedCaller, serial_text
from citadel.core.chain import check_root, read_certificates, refused
from citadel.core.issuance import IssuedSvid
from citadel.core.kubernetes_signer import signer_name
from citadel.core.mesh_settings import MeshSettings
from citadel.core.profile import Profile
from citadel.core.refusal import Reason, SigningRefused
from citadel.core.registration import check_answer, check_request, root_above

LOOK_EVERY = 1.0
"""Seconds until a replica knows what another one has had signed, and a changed file of roots."""
_log = structlog.get_logger("registration")
_Roots = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class SignerNames:
    """Which signers are asked: `default` for who names none, `domain/NAME` for who names one; either may be empty."""

    default: str
    domain: str

    def is_asked(self, name: str) -> bool:
        """Whether callers can be sent to this signer."""
        return name == self.default or bool(self.domain and name.startswith(f"{self.domain}/"))


class RegistrationAuthority:
    """`root_file` need not exist."""

    def __init__(
        self,
        signers: KubernetesSigners,
        names: SignerNames,
        root_file: Path,
        in_force: AuthorityInForce,
        engine: AsyncEngine,
        ledger: Ledger,
    ) -> None:
        self._signers = signers
        self._names = names
        self._file = root_file
        self._stamp: FileStamp | None = None
        self._of_file: _Roots = ()
        self._told: Mapping[str, _Roots] | None = None
        """Roots of signers by MeshConfig; None until it is heard of."""
        self._foreign: _Roots = ()
        self._in_force = in_force
        self._engine = engine
        self._ledger = ledger
        self._above: dict[str, x509.Certificate | None] = {}
        """Roots by the keys of signers, as long as the authority is in its `_above_of`th state."""
        self._above_of = -1

    def load(self) -> None:
        """Read the file of roots; FAILED_PRECONDITION when it is there and holds something else, or has gone."""
        self._stamp = file_stamp(self._file)
        roots = _roots_in(self._file)
        if self._of_file and not roots:
            raise refused(str(self._file), "is there no more")
        self._of_file = roots
        self._trust()

    def obey(self, found: MeshSettings) -> None:
        """Take what MeshConfig says of signers' roots, and of roots of others."""
        asked = {name: roots for name, roots in found.signer_roots.items() if self._names.is_asked(name)}
        self._told = asked
        registered = {root for roots in asked.values() for root in roots}
        self._foreign = tuple(root for root in found.foreign_roots if root not in registered)
        self._trust()

    def _trust(self) -> None:
        registered = [
            *self._roots(self._names.default),
            *(root for roots in (self._told or {}).values() for root in roots),
        ]
        self._in_force.trust(self._foreign, tuple(dict.fromkeys(registered)))

    def _roots(self, signer: str) -> _Roots:
        found = (self._told or {}).get(signer, ())
        return found or (self._of_file if signer == self._names.default else ())

    async def issue(
        self, caller: AuthenticatedCaller, request: str, asked: str, profile: Profile, ttl: timedelta, peer: str
    ) -> IssuedSvid:
        """A recorded certificate for `caller` from the signer that it asks for; SigningRefused says what is wrong."""
        signer = signer_name(asked, self._names.domain, self._names.default)
        public_key = check_request(request, caller)
        if not (roots := self._roots(signer)):
            if self._told is None:
                raise SigningRefused(
                    Reason.CA_NOT_READY, "Istio CA is not ready: the roots of signers are not known yet"
                )
            raise SigningRefused(Reason.CSR_ERROR, f"failed to find root cert for signer: {signer} in mesh config")
        pem = await self._signers.sign(request, caller, signer, ttl)
        now, authority = datetime.now(UTC), self._in_force.current
        answer = check_answer(pem, caller, public_key, profile, now, roots, authority)
        # Signers outside count as they like; the ledger tells certificates apart by their numbers.
        if await self._ledger.find(serial_text(answer.issued.template.serial)) is not None:
            raise SigningRefused(Reason.CERT_GEN_ERROR, "the signer has given a serial number twice")
        await self._remember(answer.issuers)
        await self._ledger.append(answer.issued, peer)
        return answer.issued

    async def _remember(self, issuers: Iterable[x509.Certificate]) -> None:
        """Know who signs before anything it signed leaves: its certificates prove their holders from now on."""
        if all(self._in_force.by_key.get(key_id_of(one)) == one for one in issuers):
            return
        async with self._engine.begin() as connection:
            for one in issuers:
                await note_signer(connection, one)
        self._in_force.know(await active_signers(self._engine))

    def first_root(self, caller: AuthenticatedCaller) -> x509.Certificate | None:
        """The root that is to come first for this holder of a workload's certificate: of its signer, or the default
        one's, which then signs its next certificate."""
        in_force, signer = self._in_force, caller.proof_signer
        if self._above_of != in_force.generation:
            self._above, self._above_of = {}, in_force.generation
        if signer not in self._above:
            self._above[signer] = root_above(signer, in_force.by_key, in_force.current.registered)
        return self._above[signer] or next(iter(self._roots(self._names.default)), None)

    async def follow(self) -> None:
        """Look at the file and at what other replicas know, for ever; the last good roots stay."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                self._in_force.know(await active_signers(self._engine))
            except (SQLAlchemyError, OSError) as error:
                _log.warning("signers not looked at", error=type(error).__name__)
            if file_stamp(self._file) == self._stamp:
                continue
            try:
                self.load()
                _log.info("roots of the signer in use", file=str(self._file), roots=len(self._of_file))
            except MeshError as error:
                _log.error("roots of the signer refused, the last good ones stay", reason=error.detail)


def _roots_in(file: Path) -> _Roots:
    try:
        pem = file.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise refused(str(file), f"cannot be read: {error.strerror}") from None
    roots = tuple(dict.fromkeys(read_certificates(str(file), pem)))
    for root in roots:
        check_root(str(file), root)
    return roots
