"""Core's own implementations pass the contracts that plugins' have to."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from arbitrade import AlertSink, OpportunityStore, Venue
from arbitrade.alerts.log_sink import LogSink
from arbitrade.store.jsonl import JsonLinesStore
from arbitrade.testing.contracts import AlertSinkContract, StoreContract, VenueContract
from arbitrade.testing.venue import EventVenue


class TestLogSink(AlertSinkContract):
    @pytest.fixture
    def sink(self) -> AlertSink:
        return LogSink()

    @pytest.fixture
    def delivered(self, caplog: pytest.LogCaptureFixture, capsys) -> Callable[[], list[str]]:
        # structlog writes to standard output until logging is configured.
        return lambda: [*caplog.messages, *capsys.readouterr().out.splitlines()]


class TestEventVenue(VenueContract):
    @pytest.fixture
    def venue(self) -> Venue:
        return EventVenue()


class TestJsonLinesStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> OpportunityStore:
        return JsonLinesStore(str(tmp_path / "found.jsonl"))

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Callable[[], list[Mapping[str, object]]]:
        def read() -> list[Mapping[str, object]]:
            text = (tmp_path / "found.jsonl").read_text(encoding="utf-8")
            return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]

        return read
