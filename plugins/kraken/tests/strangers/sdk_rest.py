"""python-kraken-sdk over REST: the venue, an account, and everything one does with orders."""

import json
import sys
from decimal import Decimal

from common import Simulator, refusal, report
from kraken.spot import Market, Trade, User

simulator = Simulator(json.load(sys.stdin))
market = Market(url=simulator.rest)
user = User(key=simulator.key, secret=simulator.secret, url=simulator.rest)
trade = Trade(key=simulator.key, secret=simulator.secret, url=simulator.rest)
symbol = "ETH/USD"

# ── the venue ────────────────────────────────────────────────────────────────────────────────────
simulator.step(2000)
true = simulator.book(symbol, 100)
venue = {
    "pairs": market.get_asset_pairs(),
    "pair": market.get_asset_pairs(pair=symbol),
    "assets": market.get_assets(),
    "status": market.get_system_status(),
    "ticker": market.get_ticker(pair=symbol),
    "depth": market.get_order_book(pair=symbol, count=100),
    "trades": market.get_recent_trades(pair=symbol),
    "ohlc": market.get_ohlc(pair=symbol, interval=1),
    "spreads": market.get_recent_spreads(pair=symbol),
    "true": true,
}

# ── orders ───────────────────────────────────────────────────────────────────────────────────────
bid = true["bids"][0][0]
low = (bid * Decimal("0.9")).quantize(Decimal("0.01"))
high = (bid * Decimal("1.1")).quantize(Decimal("0.01"))
before = user.get_account_balance()
resting = trade.create_order(
    "limit", "buy", symbol, "0.5", price=str(low), cl_ord_id="sdk-1", timeinforce="GTC"
)
taken = trade.create_order("market", "buy", symbol, "0.75")
swept = trade.create_order(
    "limit", "sell", symbol, "0.25", price=str(low), timeinforce="IOC", oflags=["fciq"]
)
checked = trade.create_order("limit", "buy", symbol, "0.5", price=str(low), validate=True)
amended = trade.amend_order(cl_ord_id="sdk-1", order_qty="0.6", limit_price=str(low - 1))
replaced = trade.create_order("limit", "sell", symbol, "0.3", price=str(high), userref=77)
edited = trade.edit_order(txid=replaced["txid"][0], pair=symbol, volume="0.4", price=str(high + 1))
batch = trade.create_order_batch(
    orders=[
        {
            "ordertype": "limit",
            "price": str(low),
            "timeinforce": "GTC",
            "type": "buy",
            "volume": "0.1",
            "cl_ord_id": "sdk-b1",
        },
        {
            "ordertype": "limit",
            "price": str(low),
            "timeinforce": "GTC",
            "type": "buy",
            "volume": "0.2",
            "cl_ord_id": "sdk-b2",
        },
        {"ordertype": "limit", "price": str(low), "type": "buy", "volume": "1000000"},
    ],
    pair=symbol,
)
opened = user.get_open_orders(trades=True)
oracle_open = simulator.oracle()
extended = user.get_balances()
one = user.get_balance(currency="USD")
simulator.rest_a_minute()
refusals = {
    "funds": refusal(lambda: trade.create_order("limit", "buy", symbol, "1000000", price=str(low))),
    "minimum": refusal(lambda: trade.create_order("limit", "buy", symbol, "0.000001", price=low)),
    "unknown": refusal(lambda: trade.cancel_order(txid="OAAAAA-AAAAA-AAAAAA")),
    "pair": refusal(lambda: market.get_ticker(pair="NO/SUCH")),
    "key": refusal(
        lambda: User(key="nobody", secret=simulator.secret, url=simulator.rest).get_balances()
    ),
    "signature": refusal(
        lambda: User(key=simulator.key, secret="c2VjcmV0", url=simulator.rest).get_balances()
    ),
}
cancelled = [
    trade.cancel_order(cl_ord_id="sdk-1"),
    trade.cancel_order_batch(orders=[row["txid"] for row in batch["orders"] if "txid" in row]),
    trade.cancel_all_orders_after_x(60),
    trade.cancel_all_orders_after_x(0),
    trade.cancel_all_orders(),
]
simulator.rest_a_minute()
report(
    venue=venue,
    before=before,
    placed=[resting, taken, swept, checked, amended, replaced, edited, batch],
    opened=opened,
    oracle_open=oracle_open,
    extended=extended,
    one=one,
    refusals=refusals,
    cancelled=cancelled,
    left=user.get_open_orders(),
    after=user.get_account_balance(),
    asked=user.get_orders_info(txid=taken["txid"] + swept["txid"], trades=True),
    closed=user.get_closed_orders(),
    trades=user.get_trades_history(consolidate_taker=False),
    ledger=user.get_ledgers_info(),
    volume=user.get_trade_volume(pair=[symbol, "SOL/USD"]),
    token=user.request("POST", "/0/private/GetWebSocketsToken"),
    oracle=simulator.oracle(),
)
