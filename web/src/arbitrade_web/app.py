"""The route table, and the headers every answer carries."""

import falcon
import falcon.asgi

from arbitrade.api import View
from arbitrade_web.resources.health import Health, Readiness
from arbitrade_web.resources.metrics import Metrics

type App = "falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]"

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SecurityHeaders:
    """Puts the headers on every answer, errors included."""

    async def process_response(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        resource: object,
        req_succeeded: bool,
    ) -> None:
        """Set them, whatever the resource said."""
        resp.set_headers(_HEADERS)


def create_app(view: View) -> App:
    """Return the ASGI application that shows what `view` sees."""
    app = falcon.asgi.App(middleware=[SecurityHeaders()])
    app.add_route("/healthz", Health())
    app.add_route("/readyz", Readiness(view))
    app.add_route("/metrics", Metrics(view))
    return app
