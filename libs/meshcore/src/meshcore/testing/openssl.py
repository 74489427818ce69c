"""OpenSSL's verdict on a certificate, through a handshake in memory: no program, no socket.

A fresh Debian has no `openssl` command, but Python's `ssl` is the same library. Both sides present the certificate, so
its use as server and as client are judged at once, by the strict rules (X509_V_FLAG_X509_STRICT).
"""

import ssl
import tempfile
from pathlib import Path


def accepts(chain: str, key: str, root: str) -> None:
    """ssl.SSLError says why OpenSSL refuses the certificate (PEM) as a server's or a client's under `root`."""
    server, client = (_context(side, chain, key, root) for side in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    # TLS 1.3 takes two flights each way; the server's verdict on the client comes with the second.
    for _ in range(3):
        for side in sides:
            _step(side)
    sides[0].write(b"?")
    if sides[1].read(1) != b"?":
        raise ssl.SSLError("the handshake did not complete")


def _step(side: ssl.SSLObject) -> None:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return


def _context(protocol: int, chain: str, key: str, root: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=root)
    with tempfile.TemporaryDirectory() as directory:
        certificate, private = Path(directory, "chain.pem"), Path(directory, "key.pem")
        certificate.write_text(chain)
        private.write_text(key)
        context.load_cert_chain(certificate, private)
    return context
