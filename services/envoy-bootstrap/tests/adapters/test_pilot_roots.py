"""A Pilot that serves with a certificate of the operator's: whom XDS_ROOT_CA names it may be of, and nobody else."""

from typing import Any

from meshcore.testing.identity import make_ca
from meshcore.tls import ServiceIdentity

SERVED = "istiod.istio-system.svc"


def of_the_operator(mesh: Any, ca: Any) -> ServiceIdentity:
    made: ServiceIdentity = ca.issue(None, dns=[SERVED], ips=[mesh.claim.address(2)])
    return made


async def test_a_pilot_of_the_operators_certificate_is_believed_by_the_file_that_says_so(mesh: Any) -> None:
    first, second = make_ca("operator"), make_ca("another")
    roots = mesh.directory / "operator.pem"
    roots.write_bytes(first.root_pem)
    await mesh.stop_pilot()
    await mesh.start_pilot(of_the_operator(mesh, first))
    workload = await mesh.start_ready("client", 1, XDS_ROOT_CA=str(roots), PILOT_SAN=SERVED)
    assert mesh.pilot.envoy_streams["client"] == 1, "Envoy believes it too"
    await mesh.stop_pilot()
    mesh.pilot.said["client"].clear()
    await mesh.start_pilot(of_the_operator(mesh, second))
    await mesh.until(lambda: "CERTIFICATE_VERIFY_FAILED" in workload.log.read_text(), "a refused Pilot")
    assert "opened" not in mesh.pilot.said["client"]
    roots.write_bytes(second.root_pem)
    await mesh.until(lambda: "opened" in mesh.pilot.said["client"], "the agent's return with other roots")
    await mesh.until(lambda: mesh.pilot.envoy_streams["client"] == 2, "Envoy's return")


async def test_a_file_without_roots_ends_the_agent(mesh: Any) -> None:
    workload = await mesh.start_workload("client", 1, XDS_ROOT_CA=str(mesh.directory / "token"))
    assert await workload.process.wait() != 0
    assert "XDS_ROOT_CA" in workload.log.read_text()
