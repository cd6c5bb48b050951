"""What an operator is told."""

import enum

import attrs


class Severity(enum.IntEnum):
    """How urgent an alert is; comparable."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


@attrs.frozen
class Alert:
    """One message to the operator.

    Args:
        severity: How urgent.
        title: One line, plain text, no secrets.
        body: What happened, to what, and what to do; plain text.
        subject: What it is about (`BTC/USD`, `kraken`), so that repeats can be joined.
    """

    severity: Severity
    title: str
    body: str = ""
    subject: str = ""
