import logging
from collections.abc import Callable

import pytest

from arbitrade import Alert, AlertSink, Secret, Severity
from arbitrade.errors import ConfigError
from arbitrade.testing.contracts import AlertSinkContract
from arbitrade_alerts.channels import AppriseSink, open_channels
from arbitrade_alerts.errors import DeliveryError

ALERT = Alert(Severity.ERROR, "feed lost", "reconnecting in 4 s", subject="kraken")


class TestAppriseSink(AlertSinkContract):
    @pytest.fixture
    def sink(self, receiver) -> AlertSink:
        return AppriseSink(open_channels(Secret(receiver.url)))

    @pytest.fixture
    def delivered(self, receiver) -> Callable[[], list[str]]:
        return lambda: [f"{m['title']}\n{m['message']}" for m in receiver.messages()]


async def test_message_carries_severity_subject_title_and_body(receiver):
    await AppriseSink(open_channels(Secret(receiver.url))).send(ALERT)
    (message,) = receiver.messages()
    assert message["title"] == "[ERROR] kraken: feed lost"
    assert message["message"] == "reconnecting in 4 s"


async def test_alert_below_the_minimum_severity_is_not_sent(receiver):
    sink = AppriseSink(open_channels(Secret(receiver.url)), Severity.CRITICAL)
    await sink.send(ALERT)
    assert receiver.messages() == []


async def test_alert_at_the_minimum_severity_is_sent(receiver):
    sink = AppriseSink(open_channels(Secret(receiver.url)), Severity.ERROR)
    await sink.send(ALERT)
    assert len(receiver.messages()) == 1


async def test_every_address_gets_the_alert(receiver):
    urls = Secret(f"{receiver.url}/first\n  {receiver.url}/second")
    await AppriseSink(open_channels(urls)).send(ALERT)
    assert len(receiver.messages()) == 2


async def test_refused_delivery_names_the_channel_but_not_its_address(receiver):
    receiver.status = 500
    sink = AppriseSink(open_channels(Secret(receiver.url)))
    with pytest.raises(DeliveryError, match=r"'feed lost' .* address 1 \(JSON\)") as caught:
        await sink.send(ALERT)
    assert "s3cr3t" not in str(caught.value)
    assert str(receiver.port) not in str(caught.value)


async def test_refused_delivery_is_tried_once(receiver):
    receiver.status = 429
    with pytest.raises(DeliveryError):
        await AppriseSink(open_channels(Secret(receiver.url))).send(ALERT)
    assert len(receiver.messages()) == 1


async def test_one_dead_channel_does_not_keep_the_alert_from_the_others(receiver):
    urls = Secret(f"json://127.0.0.1:9/ {receiver.url}")
    with pytest.raises(DeliveryError, match=r"address 1 \(JSON\); check"):
        await AppriseSink(open_channels(urls)).send(ALERT)
    assert len(receiver.messages()) == 1


async def test_channel_that_does_not_answer_counts_as_failed_after_the_timeout(receiver):
    receiver.hold.clear()
    sink = AppriseSink(open_channels(Secret(receiver.url)), timeout_s=0.05)
    with pytest.raises(DeliveryError, match=r"no answer within 0\.05 s"):
        await sink.send(ALERT)
    receiver.hold.set()


def test_every_unusable_address_is_reported_at_once_without_showing_it():
    urls = Secret("json://localhost tgram://tok3n-only nonsense://tok3n")
    with pytest.raises(ConfigError) as caught:
        open_channels(urls)
    assert [problem.split(":")[1].split(" can't")[0] for problem in caught.value.problems] == [
        " address 2",
        " address 3",
    ]
    assert "tok3n" not in str(caught.value)


async def test_apprise_logs_nothing_because_its_records_quote_addresses(receiver, caplog):
    caplog.set_level(1)
    logging.getLogger("apprise").setLevel(1)
    with pytest.raises(ConfigError):
        open_channels(Secret("tgram://tok3n-only"))
    await AppriseSink(open_channels(Secret(receiver.url))).send(ALERT)
    assert not [record for record in caplog.records if record.name.startswith("apprise")]


def test_channels_do_not_show_their_address():
    (channel,) = open_channels(Secret("json://:s3cr3t@127.0.0.1:9"))
    assert "s3cr3t" not in repr(channel)
    assert "s3cr3t" not in repr(AppriseSink((channel,)))
