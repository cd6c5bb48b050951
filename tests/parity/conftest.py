"""Fixtures of the parity suite."""

from arbitrade.testing.postgres import postgres_server

__all__ = ["postgres_server"]
