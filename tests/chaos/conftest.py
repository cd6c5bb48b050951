"""Fixtures of the fault tests that kill, stop and start whole processes."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from arbitrade.testing.postgres import PostgresServer, core_series, postgres_server

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("chaos_bench")

from chaos_bench import Bench, open_bench  # noqa: E402

__all__ = ["postgres_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say on other systems that nothing was tested."""
    if sys.platform == "linux":
        return
    reason = f"processes are killed and stopped as Linux does it, not {sys.platform}"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def is_long() -> bool:
    """Tell whether time doesn't matter: `nox -s chaos`."""
    return os.environ.get("ARBITRADE_CHAOS_LONG") == "1"


@pytest_asyncio.fixture
async def bench(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Bench]:
    """Return a venue and a database that outlive every bot the test starts."""
    dsn = postgres_server.create(core_series())
    try:
        async with open_bench(tmp_path, dsn) as opened:
            yield opened
    finally:
        postgres_server.drop(dsn)
