"""Core's own alert sink, the log, which is always there."""

import logging

import attrs
import structlog

from arbitrade.models import Alert, Severity

_LEVELS = {
    Severity.DEBUG: logging.DEBUG,
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
    Severity.CRITICAL: logging.CRITICAL,
}


@attrs.frozen
class LogSink:
    """Writes each alert to the log, at the level of its severity."""

    name: str = "log"

    async def send(self, alert: Alert) -> None:
        """Log one alert; never waits."""
        structlog.stdlib.get_logger(__name__).log(
            _LEVELS[alert.severity],
            "alert",
            title=alert.title,
            body=alert.body,
            subject=alert.subject,
        )
