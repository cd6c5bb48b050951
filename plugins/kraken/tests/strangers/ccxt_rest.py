"""ccxt over REST: markets, prices, an account, and everything one does with orders."""

import json
import sys

import ccxt
from common import Simulator, refusal, report

simulator = Simulator(json.load(sys.stdin))


def client(key: str, secret: str) -> ccxt.kraken:
    """Return the library's client, pointed at the simulator."""
    made = ccxt.kraken({"apiKey": key, "secret": secret})
    made.urls["api"] = {"public": simulator.rest, "private": simulator.rest}
    made.enableRateLimit = False  # it waits a second between calls, which is its own business
    return made


exchange = client(simulator.key, simulator.secret)

# ── the venue ────────────────────────────────────────────────────────────────────────────────────
markets = exchange.load_markets()
status, currencies = exchange.fetch_status(), exchange.fetch_currencies()
server_ms = exchange.fetch_time()
symbol = "SOL/USD"
simulator.step(4000)
true = simulator.book(symbol, 100)
depth = exchange.fetch_order_book(symbol, 100)
tickers = exchange.fetch_tickers()
trades = exchange.fetch_trades(symbol)
candles = exchange.fetch_ohlcv(symbol, "1m")
venue = {
    "markets": {
        name: {
            "precision": market["precision"],
            "minimum": market["limits"]["amount"]["min"],
            "cost": market["limits"]["cost"]["min"],
            "active": market["active"],
            "info": market["info"],
        }
        for name, market in markets.items()
    },
    "status": status["status"],
    "currencies": {name: row["precision"] for name, row in currencies.items()},
    "server_ms": server_ms,
    "tickers": {name: [row["bid"], row["ask"]] for name, row in tickers.items()},
    "tops": {name: simulator.book(name, 1) for name in markets},
    "depth": {"mine": [depth["bids"], depth["asks"]], "true": [true["bids"], true["asks"]]},
    "trades": [[row["id"], row["price"], row["amount"], row["side"]] for row in trades],
    "candles": candles,
}

# ── orders ───────────────────────────────────────────────────────────────────────────────────────
bid, ask = float(true["bids"][0][0]), float(true["asks"][0][0])
low, high = round(bid * 0.9, 2), round(ask * 1.1, 2)
before = exchange.fetch_balance()
fee = exchange.fetch_trading_fee(symbol)

market_buy = exchange.create_order(symbol, "market", "buy", 2.5)
resting = exchange.create_order(symbol, "limit", "buy", 1.25, low, {"clientOrderId": "stranger-1"})
edited = exchange.edit_order(resting["id"], symbol, "limit", "buy", 1.5, round(low - 1, 2))
ioc = exchange.create_order(
    symbol, "limit", "sell", 1, round(bid * 0.99, 2), {"timeInForce": "IOC"}
)
post = exchange.create_order(symbol, "limit", "sell", 1, high, {"postOnly": True})
simulator.rest_a_minute()
refusals = {
    "post only": refusal(
        lambda: exchange.create_order(symbol, "limit", "buy", 1, high, {"postOnly": True})
    ),
    "funds": refusal(lambda: exchange.create_order(symbol, "limit", "buy", 10_000_000, low)),
    "minimum": refusal(
        lambda: exchange.privatePostAddOrder(
            {
                "pair": "SOL/USD",
                "type": "buy",
                "ordertype": "limit",
                "price": low,
                "volume": "0.0001",
            }
        )
    ),
    "unknown": refusal(lambda: exchange.cancel_order("OAAAAA-AAAAA-AAAAAA")),
    "symbol": refusal(lambda: exchange.publicGetDepth({"pair": "NOSUCHPAIR"})),
    "key": refusal(lambda: client("nobody", simulator.secret).fetch_balance()),
    "signature": refusal(lambda: client(simulator.key, "c2VjcmV0").fetch_balance()),
}
validated = exchange.create_order(symbol, "limit", "buy", 1, low, {"validate": True})
batch = exchange.create_orders(
    [
        {"symbol": symbol, "type": "limit", "side": "buy", "amount": 1, "price": low},
        {"symbol": symbol, "type": "limit", "side": "buy", "amount": 2, "price": round(low - 2, 2)},
        {"symbol": symbol, "type": "limit", "side": "sell", "amount": 3, "price": high},
    ]
)
opened = exchange.fetch_open_orders(symbol)
held = exchange.fetch_balance()
oracle_open = simulator.oracle()
asked = exchange.fetch_order(market_buy["id"], symbol)
cancelled = exchange.cancel_order(batch[0]["id"], symbol)
cancelled_two = exchange.cancel_orders([batch[1]["id"], batch[2]["id"]])
after_x = exchange.cancel_all_orders_after(60_000)
disarmed = exchange.cancel_all_orders_after(0)
left = [row["id"] for row in exchange.fetch_open_orders(symbol)]
cancelled_all = exchange.cancel_all_orders()
still_open = exchange.fetch_open_orders()


def plain(order: dict[str, object]) -> dict[str, object]:
    names = ("id", "symbol", "status", "side", "type", "price", "amount", "filled", "remaining")
    names += ("cost", "average", "timeInForce", "clientOrderId", "fee")
    return {name: order[name] for name in names}


simulator.rest_a_minute()
report(
    venue=venue,
    before={name: before[name] for name in before["total"]},
    held={name: held[name] for name in held["total"]},
    after=exchange.fetch_balance()["total"],
    fee=[fee["maker"], fee["taker"]],
    placed={
        "market": plain(market_buy),
        "resting": plain(resting),
        "edited": plain(edited),
        "ioc": plain(ioc),
        "post": plain(post),
        "validated": plain(validated),
    },
    asked=plain(asked),
    batch=[row["id"] for row in batch],
    opened=[plain(row) for row in opened],
    oracle_open=oracle_open,
    cancelled=[cancelled["info"], cancelled_two[0]["info"], cancelled_all[0]["info"]],
    left=left,
    still_open=still_open,
    after_x=[after_x["result"], disarmed["result"]],
    refusals=refusals,
    closed=[plain(row) for row in exchange.fetch_closed_orders(symbol)],
    mine=[
        [
            row["id"],
            row["order"],
            row["side"],
            row["price"],
            row["amount"],
            row["cost"],
            row["fee"],
            row["takerOrMaker"],
        ]
        for row in exchange.fetch_my_trades(symbol, params={"consolidate_taker": False})
    ],
    consolidated=[
        [row["id"], row["order"], row["amount"], row["cost"]]
        for row in exchange.fetch_my_trades(symbol)
    ],
    ledger=[
        [
            row["id"],
            row["referenceId"],
            row["currency"],
            row["direction"],
            row["amount"],
            row["fee"],
            row["after"],
            row["type"],
        ]
        for row in exchange.fetch_ledger(None, None, 50)
    ],
    token=len(exchange.privatePostGetWebSocketsToken()["result"]["token"]),
    oracle=simulator.oracle(),
)
