"""Fixtures of the compatibility suite; lets its tests import the module beside them."""

import sys
from pathlib import Path

import pytest

from arbitrade.config import Secret
from arbitrade.testing.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> Secret:
    return postgres_server.create()
