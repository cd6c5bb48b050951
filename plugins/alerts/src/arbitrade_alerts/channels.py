"""A sink that sends through apprise: mail, chat, push, about 170 services."""

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

import apprise
import attrs

from arbitrade import Alert, Secret, Severity
from arbitrade.errors import ConfigError
from arbitrade_alerts.errors import DeliveryError
from arbitrade_alerts.format import body_of, title_of

_URLS_PATH = "alerts.urls"


@attrs.frozen
class Channel:
    """One address that takes messages.

    Args:
        label: What an operator may see of it: its place in `alerts.urls` and the service's name.
    """

    label: str
    _service: apprise.Apprise = attrs.field(repr=False)

    async def deliver(self, title: str, body: str) -> bool:
        """Send one message in a thread; False when the service did not take it.  Tries once."""
        return bool(await self._service.async_notify(title=title, body=body))


@attrs.frozen
class AppriseSink:
    """Sends every alert that is severe enough to each of its channels, all at once.

    It tries once: repeating is for whoever keeps the alerts, since only they know what is still
    worth saying.
    """

    channels: Sequence[Channel]
    minimum_severity: Severity = Severity.WARNING
    timeout_s: float = 10.0
    name: str = "apprise"

    async def send(self, alert: Alert) -> None:
        """Deliver `alert` unless it is below the minimum severity.

        Raises:
            DeliveryError: A channel refused it, or took longer than `timeout_s`; the others got it.
        """
        if alert.severity < self.minimum_severity:
            return
        title, body = title_of(alert), body_of(alert)
        failures = await asyncio.gather(
            *(self._failure(channel, title, body) for channel in self.channels)
        )
        if failed := [failure for failure in failures if failure]:
            raise DeliveryError(
                f"alert {alert.title!r} was not delivered to {', '.join(failed)}; "
                f"check the addresses in {_URLS_PATH} and whether the service answers"
            )

    async def _failure(self, channel: Channel, title: str, body: str) -> str | None:
        try:
            async with asyncio.timeout(self.timeout_s):
                delivered = await channel.deliver(title, body)
        except TimeoutError:
            return f"{channel.label} (no answer within {self.timeout_s:g} s)"
        return None if delivered else channel.label


def open_channels(urls: Secret) -> tuple[Channel, ...]:
    """Return a channel for each address in `urls`, separated by white space.

    Raises:
        ConfigError: Addresses apprise can't use, all at once, by their place in the list; the
            addresses themselves stay out of the message because they contain tokens.
    """
    _silence_apprise()
    channels: list[Channel] = []
    problems: list[str] = []
    for number, url in enumerate(urls.reveal().split(), start=1):
        service = apprise.Apprise.instantiate(url)
        if service is None:
            problems.append(
                f"{_URLS_PATH}: address {number} can't be used (not shown: it may hold a token); "
                "see apprise's documentation for how the service's address is written"
            )
            continue
        sender = apprise.Apprise()
        sender.add(service)
        # Some services type their name as a lazily translated text.
        label = f"address {number} ({cast(object, service.service_name)})"
        channels.append(Channel(label, sender))
    if problems:
        raise ConfigError(problems)
    return tuple(channels)


def _silence_apprise() -> None:
    # Its records quote addresses and payloads, tokens included, on several levels; what matters of
    # them, that a delivery failed and where, is in `DeliveryError`.
    logging.getLogger("apprise").disabled = True
