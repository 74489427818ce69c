"""How Pilot describes to an agent an extension whose module the agent pulls: what Envoy is to have, with the image
where the module's URL goes. Variables of the VM, which Envoy never sees, say how to pull it, as with Istio. Pure."""

from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2

PULL_POLICY = "ISTIO_META_WASM_IMAGE_PULL_POLICY"
PULL_SECRET = "ISTIO_META_WASM_IMAGE_PULL_SECRET"
"""The name of the resource with the credentials, not the credentials."""
NO_SHA256 = "nil"
"""In the place of a checksum that nobody has written down: the field must not be empty."""
STAND_INS = {False: http_rbac_pb2.RBAC, True: network_rbac_pb2.RBAC}
"""What Envoy has as long as there is no module, by whether it is a network filter: lets all pass, or nobody."""
