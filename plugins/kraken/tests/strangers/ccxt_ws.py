"""ccxt over WebSocket: market channels, orders, and the account's own stream."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import ccxt.pro
from common import Simulator, report, until


async def main(given: dict[str, object]) -> None:
    simulator = Simulator(given)
    exchange = ccxt.pro.kraken({"apiKey": simulator.key, "secret": simulator.secret})
    exchange.urls["api"] = {
        "public": simulator.rest,
        "private": simulator.rest,
        "ws": {
            "publicV2": simulator.ws,
            "privateV2": simulator.ws_auth,
            # It keeps the token under this address; nothing is sent there.
            "private": simulator.ws_auth,
        },
    }
    exchange.enableRateLimit = False
    await exchange.load_markets()
    try:
        public = await market_data(exchange, simulator)
        private = await account(exchange, simulator)
    finally:
        await exchange.close()
    report(public=public, private=private, oracle=simulator.oracle())


async def market_data(exchange: ccxt.pro.kraken, simulator: Simulator) -> dict[str, object]:
    symbol, bought = "SOL/USD", []

    async def ticker() -> None:
        while True:
            await exchange.watch_ticker(symbol)

    async def trade() -> None:
        while True:
            bought.extend(await exchange.watch_trades(symbol))

    async def candle() -> None:
        while True:
            await exchange.watch_ohlcv(symbol, "1m")

    watching = [asyncio.create_task(one()) for one in (ticker, trade, candle)]
    await until(lambda: symbol in exchange.tickers and symbol in exchange.ohlcvs, watching)
    for _ in range(20):
        await asyncio.to_thread(
            simulator.control, "trade", symbol=symbol, side="buy", quantity="0.5"
        )
    await until(lambda: round(sum(row["amount"] for row in bought), 8) >= 10, watching)
    book = simulator.book(symbol, 1)
    true = [float(book[side][0][0]) for side in ("bids", "asks")] + [bought[-1]["price"]]

    def mine() -> list[float]:
        return [exchange.tickers[symbol][name] for name in ("bid", "ask", "last")]

    settled = await until(lambda: mine() == true, watching)
    settled &= await until(
        lambda: exchange.ohlcvs[symbol]["1m"][-1][4] == bought[-1]["price"], watching
    )
    await stop(watching)
    return {
        "settled": settled,
        "ticker": mine(),
        "true": true,
        "trades": [[row["id"], row["side"], row["price"], row["amount"]] for row in bought],
    }


async def account(exchange: ccxt.pro.kraken, simulator: Simulator) -> dict[str, object]:
    symbol = "SOL/USD"
    orders, trades, balances = [], [], []

    async def watch_orders() -> None:
        while True:
            orders.extend(await exchange.watch_orders())

    async def watch_trades() -> None:
        while True:
            trades.extend(await exchange.watch_my_trades())

    async def watch_balance() -> None:
        while True:
            balances.append(await exchange.watch_balance())

    watching = [asyncio.create_task(watch_balance())]
    await until(lambda: bool(balances), watching)
    opening = dict(balances[-1]["total"])
    # The first of the two subscribes for both; this one asks for trades in the snapshot.
    watching.append(asyncio.create_task(watch_trades()))
    await until(lambda: "executions" in exchange.client(simulator.ws_auth).subscriptions, watching)
    watching.append(asyncio.create_task(watch_orders()))

    bid = float(simulator.book(symbol, 1)["bids"][0][0])
    low = round(bid * 0.9, 2)
    bought = await exchange.create_order_ws(symbol, "market", "buy", 2)
    await until(lambda: bool(exchange.myTrades), watching)
    sold = await exchange.create_order_ws(symbol, "limit", "sell", 1, low, {"timeInForce": "ioc"})
    resting = await exchange.create_order_ws(symbol, "limit", "buy", 1, low, {"postOnly": True})
    others = [
        await exchange.create_order_ws(symbol, "limit", "buy", 1, round(low - at, 2))
        for at in (1, 2, 3)
    ]
    amended = await exchange.edit_order_ws(resting["id"], symbol, "limit", "buy", 1.5, low - 1)
    refused = await failing(lambda: exchange.create_order_ws(symbol, "limit", "buy", 1e7, low))
    unknown = await failing(lambda: exchange.cancel_order_ws("OAAAAA-AAAAA-AAAAAA"))
    cancelled = await exchange.cancel_order_ws(resting["id"])
    both = await exchange.cancel_orders_ws([others[0]["id"], others[1]["id"]])
    everything = await exchange.cancel_all_orders_ws()
    true = simulator.oracle()
    await until(lambda: len(exchange.myTrades) >= len(true["fills"]), watching)
    totals = {name: float(row["total"]) for name, row in true["holdings"].items()}
    settled = await until(
        lambda: all(
            exchange.balance["spot"]["total"][name] == total for name, total in totals.items()
        ),
        watching,
    )
    ended = {row["order_id"] for row in true["closed_orders"]}

    def known() -> set[str]:
        return {row["id"] for row in exchange.orders if row["status"] in ("closed", "canceled")}

    orders_settled = await until(lambda: ended <= known(), watching)
    await stop(watching)
    return {
        "orders_settled": orders_settled,
        "opening": opening,
        "balances_settled": settled,
        "closing": exchange.balance["spot"]["total"],
        "placed": [row["id"] for row in (bought, sold, resting, *others)],
        "amended": amended["info"],
        "refused": refused,
        "unknown": unknown,
        "cancelled": [cancelled, both, everything],
        "orders": [
            [row["id"], row["symbol"], row["status"], row["info"].get("exec_type")]
            for row in exchange.orders
        ],
        "trades": [
            [
                row["id"],
                row["order"],
                row["symbol"],
                row["side"],
                row["price"],
                row["amount"],
                row["cost"],
                row["fee"],
                row["takerOrMaker"],
            ]
            for row in exchange.myTrades
        ],
        "heard": [len(orders), len(trades), len(balances)],
        "still_open": simulator.oracle()["open_orders"],
    }


async def failing(call: Callable[[], Awaitable[object]]) -> str:
    try:
        await call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no refusal"


async def stop(watching: "list[asyncio.Task[None]]") -> None:
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)


asyncio.run(main(json.load(sys.stdin)))
