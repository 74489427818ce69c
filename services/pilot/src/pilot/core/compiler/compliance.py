"""MeshConfig's `compliancePolicy` (Istiod's COMPLIANCE_POLICY): what every TLS connection of a proxy keeps to, whatever
else config says of versions, ciphers and curves. Pure.

`fips-140-2`: TLS 1.2 with the ciphers of that standard and P-256; stock Envoy has them by name, as it is no FIPS build.
`fips-140-3`: Envoy's own policy of May 2022, for TLS 1.2 and 1.3. `pqc`: TLS 1.3 with the key agreement X25519MLKEM768.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import common_pb2
from meshcore.model.mesh_config import CompliancePolicy

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.tls_contexts import with_tls_contexts

_Parameters = common_pb2.TlsParameters
_FIPS_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)


def is_demanding(work: Compilation) -> bool:
    """Whether the mesh has a policy."""
    return work.mesh.compliance_policy is not CompliancePolicy.NONE


def compliant(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with what the policy of the mesh demands, whoever made them."""
    policy = work.mesh.compliance_policy
    if not is_demanding(work):
        yield from compiled
        return
    yield from with_tls_contexts(work, compiled, "compliance", policy, partial(_enforce, policy))


def _enforce(policy: CompliancePolicy, common: Any, _: bool) -> None:
    given = common.tls_params
    if policy is CompliancePolicy.FIPS_140_3:
        made = _Parameters(compliance_policies=[_Parameters.FIPS_202205])
    elif policy is CompliancePolicy.PQC:
        made = _between(_Parameters.TLSv1_3, ecdh_curves=["X25519MLKEM768"])
    else:
        ciphers = [name for name in given.cipher_suites if name in _FIPS_CIPHERS] or _FIPS_CIPHERS
        made = _between(_Parameters.TLSv1_2, cipher_suites=ciphers, ecdh_curves=["P-256"])
    given.CopyFrom(made)


def _between(version: Any, **more: Any) -> Any:
    return _Parameters(tls_minimum_protocol_version=version, tls_maximum_protocol_version=version, **more)
