"""`/healthz` and `/readyz`: for whoever restarts processes, and for whoever routes to them."""

import attrs
import falcon
import falcon.asgi

from arbitrade.api import View


class Health:
    """Is the process alive?  Answering at all means that its event loop turns."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer 200: whoever can answer at all is alive."""
        resp.media = {"status": "ok"}


@attrs.frozen
class Readiness:
    """Tells whether it does its job: connected, and at least one book in sync."""

    view: View

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer 200 when it does, 503 when not; the body says what is missing."""
        status = self.view.status()
        resp.status = falcon.HTTP_200 if status.is_ready else falcon.HTTP_503
        resp.media = {
            "status": "ready" if status.is_ready else "not ready",
            "command": status.command,
            "books_in_sync": status.books_in_sync,
            "books": status.books,
        }
