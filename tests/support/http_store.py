"""A web server over a folder that is slow, fails now and then, or answers wrongly."""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server:
    """Serves a folder.

    ``faults`` is called with the path and how often it was asked for before, and returns what goes
    wrong: a status, ``"cut"`` (the body ends early), ``"hang up"``, or None.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = lambda path, before: None
        self.delay = 0.0
        self.ranges = True
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def do_HEAD(self) -> None:
                outer.answer(self)

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request) -> None:
        with self._lock:
            fault = self.faults(request.path, self.asked[request.path])
            self.asked[request.path] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(self.delay)
            self._send(request, fault)
        finally:
            with self._lock:
                self.at_once -= 1

    def _send(self, request, fault) -> None:
        file = self.folder / request.path.strip("/")
        if fault == "hang up":
            request.close_connection = True
            request.connection.close()
            return
        status = fault if isinstance(fault, int) else 200 if file.is_file() else 404
        body = file.read_bytes() if status == 200 else b"no"
        size = len(body)
        wanted = request.headers.get("Range", "").removeprefix("bytes=")
        if wanted and status == 200 and self.ranges:
            first, last = wanted.split("-")
            start = int(first) if first else max(size - int(last), 0)
            stop = int(last) + 1 if first and last else size
            status, body = 206, body[start:stop]
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        request.end_headers()
        if request.command == "HEAD":
            return
        if fault == "cut":
            body = body[: len(body) // 2]
            request.close_connection = True
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
