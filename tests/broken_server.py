"""A server on this machine that breaks lines, ignores ranges and serves wrong bytes."""

import http.server
import re
import threading
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 40


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content`` at every path, None as 404; keeps the ``ranges`` that were asked for.

    After ``sends`` bytes the line breaks.
    """

    content, knows_ranges, sends = CONTENT, True, None
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = []
        self.url = f"http://127.0.0.1:{self.server_port}/file"

    def handle_error(self, *_):
        """Say nothing of lines that a test breaks."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.knows_ranges else 0
        total = len(server.content)
        if start >= total:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        rest = server.content[start:]
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.sends])

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(**settings):
    """A running server with these attributes."""
    with Server() as server:
        for name, value in settings.items():
            setattr(server, name, value)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
