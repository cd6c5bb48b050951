"""What the tables refuse, whoever writes: each of these would be wrong data."""

import asyncpg
import pytest

from arbitrade.store.database import Database
from arbitrade.testing.records import make_run, store_run

WRONG = {
    "a fill booked twice": "INSERT INTO execution SELECT * FROM execution LIMIT 1",
    "an order sent twice": "INSERT INTO trade_order SELECT * FROM trade_order LIMIT 1",
    "a fill changed": "UPDATE execution SET cost = cost + 1",
    "a fill deleted": "DELETE FROM execution",
    "fills cut off": "TRUNCATE execution CASCADE",
    "a fee changed": "UPDATE execution_fee SET amount = 0",
    "a posting changed": "UPDATE posting SET amount = 0",
    "the ledger cut off": "TRUNCATE posting",
    "a transaction deleted": "DELETE FROM ledger_transaction",
    "a posting added later": "INSERT INTO posting SELECT run, account, transaction, line + 50, "
    "ledger_account, asset, amount FROM posting ORDER BY transaction LIMIT 1",
    "two postings added later, balanced": "INSERT INTO posting SELECT run, account, transaction, "
    "line + n, 'wallet', asset, n - 60.5 FROM (SELECT * FROM posting LIMIT 1) p, "
    "(VALUES (60), (61)) v (n)",
    "a transaction without postings": "INSERT INTO ledger_transaction (run, account, transaction, "
    "at, reason, proof, postings) SELECT run, account, 'x', at, reason, '', 2 "
    "FROM ledger_transaction LIMIT 1",
    "a cycle opened again": "UPDATE cycle SET state = 'open', closed_at = NULL",
    "a profit changed": "UPDATE cycle SET profit = profit + 1",
    "a final state without an end": "INSERT INTO cycle (run, account, number, opened_at, state) "
    "SELECT run, account, 99, opened_at, 'completed' FROM cycle LIMIT 1",
    "an end without flows": "INSERT INTO cycle (run, account, number, opened_at, state, closed_at, "
    "key, start_asset, profit, reason) SELECT run, account, 99, opened_at, 'completed', now(), "
    "'k', 'USD', 1, '' FROM cycle LIMIT 1",
    "flagged with nothing left": "INSERT INTO cycle (run, account, number, opened_at, state, "
    "closed_at, key, start_asset, profit, reason) SELECT run, account, 99, opened_at, 'flagged', "
    "now(), 'k', 'USD', 0, '' FROM cycle LIMIT 1",
    "ended clean with a profit": "INSERT INTO cycle (run, account, number, opened_at, state, "
    "closed_at, key, start_asset, profit, reason) SELECT run, account, 99, opened_at, "
    "'aborted_clean', now(), 'k', 'USD', 1, '' FROM cycle LIMIT 1",
    "a state nobody knows": "INSERT INTO cycle (run, account, number, opened_at, state) "
    "SELECT run, account, 99, opened_at, 'lost' FROM cycle LIMIT 1",
    "a flow changed": "UPDATE cycle_flow SET flow = 0",
    "an attribution that doesn't add up": "UPDATE attribution SET fees = fees + 0.000000000001",
    "a balance equal that is not": "UPDATE balance SET venue_balance = venue_balance + 0.00000001",
    "an order of nothing": "UPDATE trade_order SET quantity = 0",
    "an order of another account": "UPDATE trade_order SET account = 'second'",
    "a limit order without a price": "UPDATE trade_order SET limit_price = NULL",
    "half an answer": "UPDATE trade_order SET answered_at = NULL",
    "half an end": "UPDATE trade_order SET spent = NULL",
    "a name that is empty": "UPDATE trade_order SET symbol = ''",
    "refused by nothing": "UPDATE opportunity SET rule = '' WHERE outcome = 'refused'",
    "a refusal that became a cycle": "UPDATE opportunity SET cycle = 1 WHERE outcome = 'refused'",
    "a level of nothing": "UPDATE book_snapshot SET bid_quantities[1] = 0",
    "a price without a quantity": "UPDATE book_snapshot SET bid_prices = bid_prices || 1",
    "percentiles upside down": "UPDATE latency SET p50_us = p99_us + 1",
    "a run that ended before it began": "UPDATE run SET ended_at = started_at - interval '1 s'",
    "half an end of a run": "UPDATE run SET decision_hash = NULL",
    "a run of nobody": "UPDATE run SET account = ''",
}


@pytest.fixture
async def stored(database: Database) -> Database:
    async with database.session() as connection:
        await store_run(connection, make_run(seed=1, cycles=5))
    return database


async def test_none_of_these_can_be_written(stored: Database) -> None:
    refused = (asyncpg.IntegrityConstraintViolationError, asyncpg.FeatureNotSupportedError)
    async with stored.session() as connection:
        for what, statement in WRONG.items():
            try:
                await connection.execute(statement)
            except refused:
                continue
            pytest.fail(f"{what}: was taken")


async def test_each_of_them_touches_rows_that_are_there(stored: Database) -> None:
    """A statement about no rows would prove nothing."""
    for table in ("execution", "trade_order", "posting", "cycle_flow", "attribution", "balance"):
        assert await stored.pool.fetchval(f"SELECT count(*) FROM {table}") > 0
    refusals = await stored.pool.fetchval(
        "SELECT count(*) FROM opportunity WHERE outcome='refused'"
    )
    assert refusals > 0
