"""Logs: one format for all, and no secret in any of them."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import structlog

from arbitrade import Secret
from arbitrade.config import LogSettings
from arbitrade.process.logs import configure, is_secret_name

CANARY = 'canary-"e7\n04-do-not-show'
"""With a quote and a line break, which JSON and `repr` write differently."""

type Configure = Callable[..., io.StringIO]


@pytest.fixture
def configured() -> Iterator[Configure]:
    """Return a function that sends logs to a stream of its own; everything is undone afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def configured(
        style: Literal["console", "json"] = "json",
        level: Literal["debug", "info", "warning", "error"] = "info",
    ) -> io.StringIO:
        stream = io.StringIO()
        configure(LogSettings(level=level, format=style), stream)
        return stream

    yield configured
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_records_and_libraries_records_come_out_alike(configured: Configure) -> None:
    stream = configured()
    structlog.get_logger("arbitrade.book").info("book.resynced", pair="BTC/USD", gap_ms=12)
    logging.getLogger("websockets").warning("closed %s", "now", extra={"code": 1006})
    ours, theirs = lines(stream)
    assert ours.pop("timestamp")
    assert ours == {
        "event": "book.resynced",
        "pair": "BTC/USD",
        "gap_ms": 12,
        "level": "info",
        "logger": "arbitrade.book",
    }
    assert theirs.pop("timestamp")
    assert theirs == {
        "event": "closed now",
        "code": 1006,
        "level": "warning",
        "logger": "websockets",
    }


def test_what_is_below_the_level_is_not_written(configured: Configure) -> None:
    stream = configured(level="warning")
    structlog.get_logger("arbitrade").info("quiet")
    logging.getLogger("library").info("quiet")
    structlog.get_logger("arbitrade").error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_bound_context_is_in_every_record(configured: Configure) -> None:
    stream = configured()
    structlog.contextvars.bind_contextvars(order_id="o-1")
    structlog.get_logger("arbitrade").info("order.sent")
    logging.getLogger("library").info("sent")
    assert [line["order_id"] for line in lines(stream)] == ["o-1", "o-1"]


def test_configuring_again_replaces_the_stream(configured: Configure) -> None:
    first, second = configured(), configured()
    structlog.get_logger("arbitrade").info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_known_secret_is_masked_wherever_it_turns_up(configured: Configure, style: str) -> None:
    secret = Secret(CANARY)
    stream = configured(style)
    log = structlog.get_logger("arbitrade")
    log.info("event", text=f"before {CANARY} after", nested={"list": [CANARY, (CANARY,)]})
    log.info(f"event {CANARY}")
    log.info("event", obj=ValueError(CANARY), raw=CANARY.encode(), secret=secret)
    log.info("event", shown=repr(CANARY), dumped=json.dumps({"a": CANARY}), key={CANARY: 1})
    logging.getLogger("library").warning("sent %r as %s", {"k": CANARY}, CANARY)
    written = stream.getvalue()
    assert "********" in written
    assert "canary" not in written


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_show_neither_secrets_nor_variables(configured: Configure, style: str) -> None:
    stream = configured(style)

    def fail() -> None:
        some_local_variable = Secret(CANARY).reveal()
        raise RuntimeError(f"refused: {some_local_variable}")

    for log in (structlog.get_logger("arbitrade"), logging.getLogger("library")):
        try:
            fail()
        except RuntimeError:
            log.exception("failed")
    written = stream.getvalue()
    assert written.count("Traceback (most recent call last)") == 2
    assert "canary" not in written
    assert "some_local_variable = " not in written.replace("some_local_variable = Secret(", "")


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "API-Key",
        "apiKey",
        "APIKey",
        "apikey",
        "kraken.api_secret",
        "API-Sign",
        "token",
        "telegram_token",
        "Password",
        "passphrase",
        "signature",
        "nonce",
        "Authorization",
        "private-key",
        "client secret",
        "otp",
    ],
)
def test_a_field_with_the_name_of_a_secret_is_masked(configured: Configure, name: str) -> None:
    assert is_secret_name(name)
    stream = configured()
    log = structlog.get_logger("arbitrade")
    log.info("event", **{name: "hidden"}, nested=[{name: 12345}], headers=[(name, "hidden")])
    [line] = lines(stream)
    assert line[name] == "********"
    assert line["nested"] == [{name: "********"}]
    assert line["headers"] == [[name, "********"]]


@pytest.mark.parametrize("name", ["event", "pair", "key", "tokenizer", "announced", "secretary"])
def test_other_fields_are_not_masked(name: str) -> None:
    assert not is_secret_name(name)


def test_a_record_that_cannot_be_written_is_counted_out_without_its_arguments(
    configured: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configured()
    stream.close()
    logging.getLogger("library").warning("sent %s", "argument")
    told = capsys.readouterr().err
    assert told == "a log record of library was lost: ValueError\n"


def test_the_console_has_no_colours_when_it_is_no_terminal(configured: Configure) -> None:
    stream = configured("console")
    structlog.get_logger("arbitrade").warning("book.resynced", pair="BTC/USD")
    assert "\x1b[" not in stream.getvalue()
    assert "pair=BTC/USD" in stream.getvalue()
