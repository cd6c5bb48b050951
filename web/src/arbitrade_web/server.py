"""The service that runs the HTTP server inside the bot's event loop."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterator

import attrs
import uvicorn

from arbitrade.api import View
from arbitrade.errors import ConfigError
from arbitrade_web.app import App, create_app
from arbitrade_web.config import WebSettings

_log = logging.getLogger(__name__)

_GRACE_S = 2
_LAST_PORT = 65_535


@attrs.define
class HealthService:
    """Serves health, readiness and metrics on loopback.

    Args:
        settings: Where to listen.
        view: What to show.

    Raises:
        ConfigError: The host is not a loopback address, or there is no such port.
    """

    settings: WebSettings = attrs.field()
    view: View
    name: str = "health"
    _listening: asyncio.Future[tuple[str, int]] | None = attrs.field(
        default=None, init=False, repr=False
    )

    @settings.validator
    def _check(self, attribute: object, settings: WebSettings) -> None:
        if not _is_loopback(settings.host):
            raise ConfigError(
                f"web.host: {settings.host!r} is not a loopback address; "
                "there is no login yet, so use 127.0.0.1 or ::1 (and a tunnel from elsewhere)"
            )
        if not 0 <= settings.port <= _LAST_PORT:
            raise ConfigError(
                f"web.port: {settings.port} is not a port; choose one up to {_LAST_PORT}, 0 for any"
            )

    async def address(self) -> tuple[str, int]:
        """Return host and port once it listens; port 0 of the settings becomes the one it got."""
        return await asyncio.shield(self._bound())

    async def run(self) -> None:
        """Serve until cancelled; open requests then get two seconds to finish.

        Raises:
            ConfigError: The port can't be had.
        """
        with _listen(self.settings) as listener:
            host, port = listener.getsockname()[:2]
            self._bound().set_result((str(host), int(port)))
            _log.info("web.listening", extra={"host": host, "port": port})
            try:
                await _serve(create_app(self.view), listener)
            finally:
                self._listening = None

    def _bound(self) -> asyncio.Future[tuple[str, int]]:
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_future()
        return self._listening


async def _serve(app: App, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="web.serve")
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * _GRACE_S):
                await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals belong to the process's own supervisor.
        yield


def _listen(settings: WebSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"web.port: can't listen on {settings.host} port {settings.port} ({error}); "
            "choose one that is free, or 0 for any"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
