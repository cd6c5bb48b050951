"""What every alert sink has to keep to."""

import asyncio
from collections.abc import Callable

import pytest

from arbitrade.models import (
    Alert,
    Severity,
)
from arbitrade.protocols import (
    AlertSink,
)


class AlertSinkContract:
    """What every alert sink must do.

    A subclass brings two fixtures: `sink`, which must let CRITICAL alerts through, and `delivered`,
    which returns what has arrived on the other side so far, one text for each message.
    """

    @pytest.fixture
    def sink(self) -> AlertSink:
        """Return the sink under test."""
        raise NotImplementedError("the subclass brings a fixture `sink`")

    @pytest.fixture
    def delivered(self) -> Callable[[], list[str]]:
        """Return a function that lists the messages that arrived since it was last called."""
        raise NotImplementedError("the subclass brings a fixture `delivered`")

    def test_sink_has_a_name_that_does_not_change(self, sink: AlertSink) -> None:
        """The name identifies the sink in messages and statistics."""
        assert sink.name
        assert sink.name == sink.name.strip()
        assert sink.name == sink.name

    async def test_severe_alert_has_arrived_when_send_returns(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Returning means delivered: whoever waits for `send` relies on it."""
        await sink.send(_critical("book of BTC/USD out of sync", "resubscribing"))
        assert any("book of BTC/USD out of sync" in message for message in delivered())

    async def test_alert_without_body_is_delivered(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Only the title is required."""
        await sink.send(_critical("only a title"))
        assert any("only a title" in message for message in delivered())

    async def test_text_beyond_ascii_survives(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Alerts quote figures and names as they are."""
        await sink.send(_critical("Verlust über 5 €", "≥ limit"))
        assert any("Verlust über 5 €" in message for message in delivered())

    async def test_very_long_alert_is_delivered_in_some_form(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Length limits are the sink's business, not the sender's."""
        await sink.send(_critical("long story", "word " * 20_000))
        assert any("long story" in message for message in delivered())

    async def test_alerts_sent_at_the_same_time_all_arrive(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """A sink keeps no state that concurrent sends could mix up."""
        titles = [f"alert number {number:02d}" for number in range(5)]
        await asyncio.gather(*(sink.send(_critical(title)) for title in titles))
        messages = delivered()
        assert all(any(title in message for message in messages) for title in titles)


def _critical(title: str, body: str = "") -> Alert:
    return Alert(Severity.CRITICAL, title, body)
