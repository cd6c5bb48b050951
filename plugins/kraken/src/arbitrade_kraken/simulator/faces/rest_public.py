"""REST calls that need no key: status, assets, pairs, and what the market did."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from zlib import crc32

from arbitrade_kraken.simulator.exchange.events import PublicTrade
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces.arguments import Arguments
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.frames import Levels, units
from arbitrade_kraken.simulator.faces.statistics import INTERVALS, DayStatistics, candles
from arbitrade_kraken.simulator.faces.wire import Fields, whole_seconds

_SECOND_NS = 1_000_000_000
_INFO = {
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}
_CUT = Decimal("0.001")


class PublicCalls:
    """Answers public calls.

    Args:
        face: What all faces share.
        restricted: Assets that may not be traded, by country code.
    """

    def __init__(self, face: Face, restricted: Mapping[str, Sequence[str]]) -> None:
        self._face = face
        self._restricted = restricted
        self.methods = {
            "SystemStatus": self._status,
            "Time": self._time,
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "Ticker": self._ticker,
            "Depth": self._depth,
            "Trades": self._trades,
            "OHLC": self._ohlc,
            "Spread": self._spread,
        }

    def find(self, name: str | None) -> tuple[str, PairFacts]:
        """Return the key a result stands under, and the pair as it is now.

        A v2 symbol is answered under itself, everything else under the pair's key.

        Raises:
            VenueRefusal: No such pair; v1 names are none.
        """
        if name is None:
            raise VenueRefusal("EGeneral:Invalid arguments:pair")
        listed = self._face.exchange.listed.find_pair(name)
        if listed is None:
            raise VenueRefusal("EQuery:Unknown asset pair")
        key = name if name == listed.symbol else listed.key
        return key, self._face.exchange.pair(listed.symbol)

    def _status(self, arguments: Arguments) -> Fields:
        now = whole_seconds(self._face.now_ns())
        return {"status": self._face.exchange.engine_state, "timestamp": now}

    def _time(self, arguments: Arguments) -> Fields:
        seconds = self._face.now_ns() // _SECOND_NS
        moment = datetime.fromtimestamp(seconds, UTC)
        return {"unixtime": seconds, "rfc1123": f"{moment:%a, %d %b %y %H:%M:%S} +0000"}

    def _assets(self, arguments: Arguments) -> Fields:
        listed = self._face.exchange.listed
        assets = self._face.exchange.assets()
        if names := arguments.names("asset"):
            found = [listed.find_asset(name) for name in names]
            if None in found:
                raise VenueRefusal("EQuery:Unknown asset")
            assets = [asset for asset in found if asset is not None]
        return {
            asset.asset_id: {
                "aclass": "currency",
                "altname": asset.altname,
                "decimals": asset.decimals,
                "display_decimals": asset.display_decimals,
                "collateral_value": Decimal("1.0"),
                "status": "enabled",
            }
            for asset in assets
        }

    def _asset_pairs(self, arguments: Arguments) -> Fields:
        info = arguments.text("info") or "info"
        if info != "info" and info not in _INFO:
            raise VenueRefusal("EGeneral:Invalid arguments:info")
        if names := arguments.names("pair"):
            chosen = [self.find(name) for name in names]
        else:
            chosen = [(pair.key, pair) for pair in self._face.exchange.pairs()]
        if (arguments.text("aclass_base") or "currency") != "currency":
            chosen = []
        barred = set(self._restricted.get((arguments.text("country_code") or "").upper(), ()))
        rows: Fields = {}
        for key, pair in chosen:
            if pair.base in barred or pair.quote in barred:
                continue
            row = self._pair_row(pair)
            rows[key] = row if info == "info" else {name: row[name] for name in _INFO[info]}
        return rows

    def _pair_row(self, pair: PairFacts) -> Fields:
        row: Fields = {
            "altname": pair.altname,
            "wsname": pair.wsname,
            "aclass_base": "currency",
            "base": pair.base_id,
            "aclass_quote": "currency",
            "quote": pair.quote_id,
            "lot": "unit",
            "cost_decimals": pair.cost_decimals,
            "pair_decimals": pair.price_decimals,
            "lot_decimals": pair.lot_decimals,
            "lot_multiplier": 1,
            "leverage_buy": list(pair.leverage),
            "leverage_sell": list(pair.leverage_sell),
            "fees": [],
            "fees_maker": [],
            "fee_volume_currency": "ZUSD",
            "margin_call": 80,
            "margin_stop": 40,
            "ordermin": plain(pair.minimum_quantity),
            "costmin": plain(pair.minimum_cost),
            "tick_size": plain(pair.tick),
        }
        share = self._face.wire.status_missing
        if crc32(pair.key.encode()) % 1000 >= share * 1000:
            row["status"] = pair.status
        if pair.long_limit is not None:
            row["long_position_limit"] = pair.long_limit
        if pair.short_limit is not None:
            row["short_position_limit"] = pair.short_limit
        row["execution_venue"] = "international"
        return row

    def _ticker(self, arguments: Arguments) -> Fields:
        if names := arguments.names("pair"):
            chosen = [self.find(name) for name in names]
        else:
            chosen = [(pair.key, pair) for pair in self._face.exchange.pairs()]
        return {key: self._ticker_row(pair) for key, pair in chosen}

    def _ticker_row(self, pair: PairFacts) -> Fields:
        book = self._face.exchange.book(pair.symbol, 1)
        ask, bid = _best(book.asks, pair), _best(book.bids, pair)
        day = DayStatistics()
        for trade in self._face.exchange.public_trades(pair.symbol, 1000):
            day.add(trade)
        day.begin_at(Decimal(bid[0]))
        decimals = pair.price_decimals
        last = [padded(day.last, decimals), padded(day.last_quantity, pair.lot_decimals)]
        return {
            "a": ask,
            "b": bid,
            "c": last,
            "v": [padded(day.volume, pair.lot_decimals)] * 2,
            "p": [padded(day.vwap, decimals)] * 2,
            "t": [day.trades] * 2,
            "l": [padded(day.low, decimals)] * 2,
            "h": [padded(day.high, decimals)] * 2,
            "o": padded(day.open, decimals),
        }

    def _depth(self, arguments: Arguments) -> Fields:
        key, pair = self.find(arguments.text("pair"))
        count = arguments.integer("count")
        count = 100 if count is None else max(1, min(500, count))
        book = self._face.exchange.book(pair.symbol, count)
        second = book.time_ns // _SECOND_NS

        def rows(levels: Levels) -> list[object]:
            return [
                [
                    padded(units(ticks, pair.price_decimals), 5),
                    str(units(lots, pair.lot_decimals).quantize(_CUT, ROUND_DOWN)),
                    second,
                ]
                for ticks, lots in levels
            ]

        return {key: {"asks": rows(book.asks), "bids": rows(book.bids)}}

    def _trades(self, arguments: Arguments) -> Fields:
        key, pair = self.find(arguments.text("pair"))
        since, count = arguments.number("since") or Decimal(0), arguments.integer("count") or 1000
        trades = [
            trade
            for trade in self._face.exchange.public_trades(pair.symbol, 1000)
            if trade.time_ns > since
        ][:count]
        last = trades[-1].time_ns if trades else int(since)
        return {key: [_trade_row(trade, pair) for trade in trades], "last": str(last)}

    def _ohlc(self, arguments: Arguments) -> Fields:
        key, pair = self.find(arguments.text("pair"))
        minutes = arguments.integer("interval")
        minutes = 1 if minutes is None else minutes
        if minutes not in INTERVALS:
            raise VenueRefusal("EGeneral:Invalid arguments:interval")
        since = arguments.number("since") or Decimal(0)
        trades = self._face.exchange.public_trades(pair.symbol, 1000)
        found = candles(trades, minutes)
        rows: list[object] = []
        for candle in found:
            second = candle.begin_ns // _SECOND_NS
            if second <= since:
                continue
            prices = (candle.open, candle.high, candle.low, candle.close, candle.vwap)
            texts = [padded(price, pair.price_decimals) for price in prices]
            rows.append([second, *texts, padded(candle.volume, pair.lot_decimals), candle.trades])
        last = found[-2].begin_ns // _SECOND_NS if len(found) > 1 else 0
        return {key: rows, "last": last}

    def _spread(self, arguments: Arguments) -> Fields:
        key, pair = self.find(arguments.text("pair"))
        book = self._face.exchange.book(pair.symbol, 1)
        second = book.time_ns // _SECOND_NS
        row = [second, _best(book.bids, pair)[0], _best(book.asks, pair)[0]]
        return {key: [row], "last": second}


def plain(amount: Decimal) -> str:
    """Return a number without exponent and trailing zeros: `0.00005`, `13`."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def padded(amount: Decimal, decimals: int) -> str:
    """Return a number in plain notation with at least so many decimals, none beyond its own."""
    exponent = amount.as_tuple().exponent
    own = -exponent if isinstance(exponent, int) else 0
    if own > decimals and own > 12:
        own = decimals  # an average with more digits than anybody prints
        return format(amount.quantize(Decimal(1).scaleb(-decimals)), "f")
    return f"{amount:.{max(own, decimals)}f}"


def _best(levels: Levels, pair: PairFacts) -> list[str]:
    if not levels:
        return ["0.00000", "0", "0.000"]
    ticks, lots = levels[0]
    quantity = units(lots, pair.lot_decimals)
    price = padded(units(ticks, pair.price_decimals), 5)
    return [price, str(int(quantity)), str(quantity.quantize(_CUT, ROUND_DOWN))]


def _trade_row(trade: PublicTrade, pair: PairFacts) -> list[object]:
    return [
        padded(trade.price, 5),
        padded(trade.quantity, 8),
        Decimal(trade.time_ns).scaleb(-9).quantize(Decimal("0.0000001")),
        "b" if trade.side.value == "buy" else "s",
        "m" if trade.order_type == "market" else "l",
        "",
        trade.trade_id,
    ]
