"""python-kraken-sdk over WebSocket: streams of the account, and every order method."""

import asyncio
import itertools
import json
import sys
from decimal import Decimal

from common import Simulator, report, until
from kraken.spot import SpotWSClient

type Message = dict[str, object]


class Client(SpotWSClient):
    """The library's client, remembering what it was told."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(
            key=simulator.key,
            secret=simulator.secret,
            rest_url=simulator.rest,
            ws_url=simulator.ws.removesuffix("/v2"),
            auth_ws_url=simulator.ws_auth.removesuffix("/v2"),
        )
        self.messages: list[Message] = []
        self._numbers = itertools.count(1)

    async def on_message(self, message: Message) -> None:
        self.messages.append(message)

    async def ask(self, method: str, answers: int = 1, **params: object) -> list[Message]:
        """Send a request by the library's own way and wait for its answers."""
        number = next(self._numbers)
        request: Message = {"method": method, "req_id": number}
        await self.send_message(request | {"params": params} if params else request)

        def found() -> list[Message]:
            return [one for one in self.messages if one.get("req_id") == number]

        await until(lambda: len(found()) >= answers)
        return found()

    def of(self, channel: str, kind: str | None = None) -> list[Message]:
        return [
            one
            for one in self.messages
            if one.get("channel") == channel and kind in (None, one.get("type"))
        ]


async def main(given: Message) -> None:
    simulator = Simulator(given)
    client = Client(simulator)
    await client.start()
    symbol = "ETH/USD"
    await client.subscribe(params={"channel": "instrument", "snapshot": True})
    await client.subscribe(params={"channel": "ticker", "symbol": [symbol, "BTC/USD"]})
    await client.subscribe(params={"channel": "trade", "symbol": [symbol], "snapshot": True})
    await client.subscribe(params={"channel": "ohlc", "symbol": [symbol], "interval": 1})
    await client.subscribe(params={"channel": "book", "symbol": ["NO/SUCH"]})
    await client.subscribe(
        params={"channel": "executions", "snap_orders": True, "snap_trades": True}
    )
    await client.subscribe(params={"channel": "balances", "snapshot": True})
    snapshots = ("instrument", "ticker", "trade", "ohlc", "executions", "balances")
    opened = await until(lambda: all(client.of(name) for name in snapshots))

    bid = simulator.book(symbol, 1)["bids"][0][0]
    low = float((bid * Decimal("0.9")).quantize(Decimal("0.01")))
    limit = {"order_type": "limit", "side": "buy", "order_qty": 0.1, "symbol": symbol}
    limit["limit_price"] = low
    batch = [
        {name: value for name, value in limit.items() if name != "symbol"}
        | {"cl_ord_id": f"sdk-ws-{at}"}
        for at in (1, 2, 3)
    ]
    asked = {
        "market": await client.ask(
            "add_order", order_type="market", side="buy", order_qty=0.75, symbol=symbol
        ),
        "ioc": await client.ask(
            "add_order", **(limit | {"side": "sell", "order_qty": 0.25, "time_in_force": "ioc"})
        ),
        "limit": await client.ask("add_order", **limit, cl_ord_id="sdk-ws-0"),
        "plain": await client.ask("add_order", **limit),
        "validate": await client.ask("add_order", **limit, validate=True),
        "funds": await client.ask("add_order", **(limit | {"order_qty": 1e6})),
        "text": await client.ask("add_order", **(limit | {"limit_price": str(low)})),
        "amend": await client.ask("amend_order", cl_ord_id="sdk-ws-0", order_qty=0.2),
        "batch": await client.ask("batch_add", symbol=symbol, orders=batch),
    }
    # Somebody sells as much as stands before our order, and what we want.
    price, size = simulator.book(symbol, 1)["bids"][0]
    asked["maker"] = await client.ask(
        "add_order", **(limit | {"limit_price": float(price), "post_only": True})
    )
    simulator.control("trade", symbol=symbol, side="sell", quantity=str(size + Decimal("0.1")))
    middle = simulator.oracle()
    plain = asked["plain"][0]["result"]["order_id"]
    ids = [row["order_id"] for row in asked["batch"][0]["result"]]
    asked |= {
        "edit": await client.ask(
            "edit_order", order_id=plain, symbol=symbol, order_qty=0.3, limit_price=low
        ),
        "edit named": await client.ask(
            "edit_order", order_id=ids[0], symbol=symbol, order_qty=0.3, limit_price=low
        ),
        "cancel": await client.ask("cancel_order", 2, cl_ord_id=["sdk-ws-0", "sdk-ws-2"]),
        "cancel gone": await client.ask("cancel_order", order_id=[ids[1]]),
        "batch cancel": await client.ask("batch_cancel", orders=[ids[0], ids[2]]),
        "switch": await client.ask("cancel_all_orders_after", timeout=60),
        "switch off": await client.ask("cancel_all_orders_after", timeout=0),
        "cancel all": await client.ask("cancel_all"),
    }
    await client.ask("ping")
    true = simulator.oracle()
    ended = {row["order_id"] for row in true["closed_orders"]}

    def reported() -> list[dict[str, object]]:
        return [row for message in client.of("executions", "update") for row in message["data"]]

    settled = await until(
        lambda: (
            ended
            <= {row["order_id"] for row in reported() if row["exec_type"] in ("filled", "canceled")}
        )
    )
    rows = [row for message in client.of("balances", "update") for row in message["data"]]
    await client.close()
    report(
        opened=opened,
        settled=settled,
        asked=asked,
        middle=middle,
        status=client.of("status"),
        heartbeats=len(client.of("heartbeat")),
        instrument={
            name: len(client.of("instrument")[0]["data"][name]) for name in ("assets", "pairs")
        },
        refused=[one for one in client.messages if one.get("success") is False],
        ticker=client.of("ticker"),
        executions=reported(),
        sequences={
            name: [one["sequence"] for one in client.of(name)]
            for name in ("executions", "balances")
        },
        snapshot=client.of("balances", "snapshot"),
        balances=rows,
        oracle=true,
    )


asyncio.run(main(json.load(sys.stdin)))
