"""Roles beside the trading: alert sinks, stores, services."""

from typing import Protocol

from arbitrade.models import (
    Alert,
    Opportunity,
)


class AlertSink(Protocol):
    """Brings alerts to a person."""

    @property
    def name(self) -> str:
        """Unique among the sinks of a run."""

    async def send(self, alert: Alert) -> None:
        """Deliver one alert.  May be slow or raise; that only hurts this sink."""


class OpportunityStore(Protocol):
    """Keeps what was found."""

    def write(self, opportunity: Opportunity, line: int) -> None:
        """Keep one sighting; `line` is its place in the recording, counted from 1."""

    def close(self) -> None:
        """Flush and release.  Idempotent."""


class Service(Protocol):
    """Something that runs beside the bot: a dashboard, an exporter."""

    @property
    def name(self) -> str:
        """Unique among the services of a run."""

    async def run(self) -> None:
        """Serve until cancelled; one that raises is reported, and the rest goes on."""
