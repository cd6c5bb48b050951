import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs
import pytest

from arbitrade.testing.patience import PATIENCE_S


@attrs.define
class Receiver:
    """A web server on loopback that takes apprise's `json://` notifications."""

    port: int
    status: int = 200
    hold: threading.Event = attrs.field(factory=threading.Event)
    received: "queue.Queue[dict[str, str]]" = attrs.field(factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"json://:tok-3n-s3cr3t@127.0.0.1:{self.port}"

    def messages(self) -> list[dict[str, str]]:
        found = []
        while not self.received.empty():
            found.append(self.received.get_nowait())
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            it.received.put(json.loads(content))
            it.hold.wait(PATIENCE_S)
            self.send_response(it.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it = Receiver(server.server_address[1])
    it.hold.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield it
    it.hold.set()
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_S)
