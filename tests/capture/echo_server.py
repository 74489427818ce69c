"""The unchanged application of a pod: HTTP on 8080 and 8081 says what it was sent, TCP on 9000 speaks first."""

import http.server
import json
import socketserver
import threading


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"headers": headers, "client": self.client_address[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Greeter(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"hello, who is there?\n")
        self.wfile.write(b"welcome " + self.rfile.readline())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    threading.Thread(target=Server(("0.0.0.0", 9000), Greeter).serve_forever, daemon=True).start()
    unsaid = http.server.ThreadingHTTPServer(("0.0.0.0", 8081), Echo)
    threading.Thread(target=unsaid.serve_forever, daemon=True).start()
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Echo).serve_forever()
