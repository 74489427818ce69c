"""Exit status 0 when this container's service is ready: asks its own `/readyz` over TLS.

    python healthcheck.py [PORT]

The certificate is checked against the mesh root of the identity directory; names are not, since the service answers on
whatever address the container has.
"""

import http.client
import os
import ssl
import sys


def main() -> int:
    """0 ready, 1 not ready or not reachable, with the reason on standard output."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 15014
    try:
        context = ssl.create_default_context(cafile=os.path.join(os.environ["IDENTITY_DIR"], "root-cert.pem"))
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=3, context=context)
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(4096).decode("utf-8", "replace")
    except (OSError, KeyError, http.client.HTTPException) as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{response.status} {body}\n")
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
