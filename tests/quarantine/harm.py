"""The text of plugins that do harm, one object each."""

from textwrap import indent

_HEAD = """
import asyncio
import time
from decimal import Decimal

from arbitrade import hookimpl
from arbitrade.models import CycleState, Leg, Opportunity, Refused, Side


def made(book, **changes):
    pair = book.instrument
    given = dict(
        detector="harm",
        key=book.symbol,
        assets=(pair.quote, pair.base),
        legs=(Leg(book.symbol, Side.BUY), Leg(book.symbol, Side.SELL)),
        edge_bps=Decimal(1),
        size=Decimal(1),
        profit=Decimal(0),
        orders=(),
        lot_profit=Decimal(0),
        dust=(),
        blocked=None,
        timestamp=book.timestamp,
    )
    return [Opportunity(**{**given, **changes})]


"""


def detector(body: str) -> str:
    """Return a detector whose `on_book` is this; `self.seen` counts its calls."""
    return (
        _HEAD
        + """
class Harm:
    name = "harm"
    seen = 0

    def on_instruments(self, instruments):
        pass

    def on_fees(self, fees):
        pass

    def on_void(self, symbol):
        pass

    def on_book(self, book, changed):
        self.seen += 1
"""
        + indent(body, "        ")
        + """
        return ()


@hookimpl
def arbitrade_register_detectors(settings, instruments):
    return [Harm()]
"""
    )


def rule(check: str = "return None", cap: str = "return None") -> str:
    """Return a rule with these answers."""
    return (
        _HEAD
        + """
class Harm:
    name = "harm"

    def check(self, opportunity):
"""
        + indent(check, "        ")
        + """

    def maximum_input(self, opportunity):
"""
        + indent(cap, "        ")
        + """


@hookimpl
def arbitrade_register_risk_rules(settings, instruments, view):
    return [Harm()]
"""
    )


def executor(body: str) -> str:
    """Return an executor that does this at its desk."""
    return (
        _HEAD
        + """
class Harm:
    name = "harm"
    needs_inventory = False

    async def execute(self, desk):
"""
        + indent(body, "        ")
        + """


@hookimpl
def arbitrade_make_executor(settings, name):
    return Harm() if name == "harm" else None
"""
    )


def sink(body: str) -> str:
    """Return a sink that does this with an alert; titles go to `got`."""
    return (
        _HEAD
        + """
got = []


class Harm:
    name = "harm"

    async def send(self, alert):
        got.append(alert.title)
"""
        + indent(body, "        ")
        + """


@hookimpl
def arbitrade_register_alert_sinks(settings):
    return [Harm()]
"""
    )


def service(body: str) -> str:
    """Return a service that does this."""
    return (
        _HEAD
        + """
class Harm:
    name = "harm"

    async def run(self):
"""
        + indent(body, "        ")
        + """


@hookimpl
def arbitrade_register_services(settings, view):
    return [Harm()]
"""
    )


def line_of(code: str, words: str) -> str:
    """Return `file:line` of the first line with these words."""
    number = next(n for n, line in enumerate(code.splitlines(), 1) if words in line)
    return f"arbitrade_harm.py:{number}"
