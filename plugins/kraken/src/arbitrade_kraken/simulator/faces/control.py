"""The control API: break things, change the venue, look behind its counter.  JSON over HTTP."""

import enum
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import attrs
from aiohttp import web

from arbitrade.errors import UsageError
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.faults import EXCHANGE_FAULTS, WIRE_FAULTS
from arbitrade_kraken.simulator.exchange.keys import VerificationTier
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces.frames import Levels, units
from arbitrade_kraken.simulator.faces.wire import Fields, dumps

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
type ControlAction = Callable[["Wishes"], object]


class Control:
    """Answers the control API.

    Args:
        poke: Called after a fault was injected, so that those of sockets act at once.
        about: What the server tells of itself.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: MovableClock,
        poke: Callable[[], None],
        about: Callable[[], Fields],
    ) -> None:
        self._exchange = exchange
        self._oracle_of_all = ExchangeOracle(exchange)
        self._clock = clock
        self._poke = poke
        self._about = about

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, below `/control`."""
        post, get = web.post, web.get
        return [
            get("/control", self._answer(lambda wishes: self._about() | self._summary())),
            get("/control/faults", self._answer(self._faults)),
            post("/control/faults", self._answer(self._inject)),
            web.delete("/control/faults", self._answer(self._clear)),
            web.delete("/control/faults/{id}", self._answer(self._clear)),
            post("/control/pair", self._answer(self._set_pair)),
            post("/control/engine", self._answer(self._set_engine)),
            post("/control/clock", self._answer(self._forward)),
            post("/control/step", self._answer(self._step)),
            post("/control/trade", self._answer(self._trade)),
            post("/control/quote", self._answer(self._quote)),
            get("/control/accounts", self._answer(self._names)),
            post("/control/accounts", self._answer(self._open_account)),
            post("/control/keys", self._answer(self._make_key)),
            post("/control/deposit", self._answer(self._deposit)),
            post("/control/withdraw", self._answer(self._withdraw)),
            get("/control/oracle/{account}", self._answer(self._oracle)),
            get("/control/flows/{account}", self._answer(self._flows)),
            get("/control/discrepancies", self._answer(self._discrepancies)),
            get("/control/book/{base}/{quote}", self._answer(self._book)),
        ]

    def _answer(self, action: ControlAction) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                wishes = await Wishes.of(request)
                answer = action(wishes)
            except (UsageError, VenueRefusal, ValueError, KeyError) as error:
                text = f"no such {error}" if isinstance(error, KeyError) else str(error)
                return _json({"error": text}, status=400)
            return _json(answer)

        return handle

    # ── faults ───────────────────────────────────────────────────────────────────────────────────

    def _faults(self, wishes: "Wishes") -> Fields:
        faults = self._exchange.faults
        return {
            "active": list(faults.active()),
            "counts": dict(faults.counts()),
            "kinds": {**EXCHANGE_FAULTS, **WIRE_FAULTS},
        }

    def _inject(self, wishes: "Wishes") -> Fields:
        fault_id = self._exchange.faults.inject(
            wishes.text("kind"),
            symbol=wishes.optional("symbol"),
            account=wishes.optional("account"),
            method=wishes.optional("method"),
            channel=wishes.optional("channel"),
            count=wishes.integer("count"),
            for_ms=wishes.integer("for_ms"),
            value=wishes.number("value"),
            text=wishes.optional("text"),
        )
        self._poke()
        return {"id": fault_id}

    def _clear(self, wishes: "Wishes") -> Fields:
        self._exchange.faults.clear(wishes.integer("id"))
        return {"active": list(self._exchange.faults.active())}

    # ── the venue ────────────────────────────────────────────────────────────────────────────────

    def _set_pair(self, wishes: "Wishes") -> object:
        symbol = wishes.text("symbol")
        self._exchange.hand.set_pair(
            symbol,
            status=wishes.optional("status"),
            price_decimals=wishes.integer("price_decimals"),
            lot_decimals=wishes.integer("lot_decimals"),
            minimum_quantity=wishes.number("minimum_quantity"),
        )
        return self._exchange.pair(symbol)

    def _set_engine(self, wishes: "Wishes") -> Fields:
        self._exchange.hand.set_engine(wishes.text("state"))
        return {"state": self._exchange.engine_state}

    def _forward(self, wishes: "Wishes") -> Fields:
        seconds = wishes.number("forward_s") or Decimal(0)
        self._clock.forward(int(seconds * 1_000_000_000))
        self._exchange.run_timers()
        return {"now_ns": self._clock.now_ns()}

    def _step(self, wishes: "Wishes") -> Fields:
        count = wishes.integer("count")
        for _ in range(1 if count is None else count):
            self._exchange.step()
        return {"now_ns": self._clock.now_ns()}

    def _trade(self, wishes: "Wishes") -> Fields:
        self._exchange.hand.trade(
            wishes.text("symbol"), side=wishes.side(), quantity=wishes.amount("quantity")
        )
        return {"done": True}

    def _quote(self, wishes: "Wishes") -> Fields:
        self._exchange.hand.quote(
            wishes.text("symbol"),
            side=wishes.side(),
            price=wishes.amount("price"),
            quantity=wishes.amount("quantity"),
        )
        return {"done": True}

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────

    def _names(self, wishes: "Wishes") -> Fields:
        return {"accounts": [account.name for account in self._exchange.accounts.all()]}

    def _open_account(self, wishes: "Wishes") -> Fields:
        name, tier = wishes.text("name"), wishes.optional("tier")
        balances = wishes.raw("balances") or {}
        if not isinstance(balances, dict):
            raise UsageError('balances: not an object; write {"USD": "1000"}')
        self._exchange.hand.open_account(
            name,
            {asset: _decimal("balances", amount) for asset, amount in balances.items()},
            tier=None if tier is None else VerificationTier(tier),
            volume=wishes.number("volume") or Decimal(0),
            country=wishes.optional("country") or "",
        )
        return self._key(name, None)

    def _make_key(self, wishes: "Wishes") -> Fields:
        permissions = wishes.raw("permissions")
        if permissions is not None and not isinstance(permissions, list):
            raise UsageError('permissions: not a list; write ["query-funds"]')
        answer = self._key(wishes.text("account"), permissions)
        key = self._exchange.accounts.find_key(str(answer["key"]))
        if key is not None:
            key.nonce_window = wishes.integer("nonce_window") or 0
        return answer

    def _key(self, account: str, permissions: list[str] | None) -> Fields:
        key = self._exchange.accounts.make_key(account, permissions)
        return {"account": account, "key": key.key, "secret": key.secret}

    def _deposit(self, wishes: "Wishes") -> object:
        return self._exchange.hand.deposit(
            wishes.text("account"), wishes.text("asset"), wishes.amount("amount")
        )

    def _withdraw(self, wishes: "Wishes") -> object:
        return self._exchange.hand.withdraw(
            wishes.text("account"),
            wishes.text("asset"),
            wishes.amount("amount"),
            wishes.number("fee") or Decimal(0),
        )

    def _oracle(self, wishes: "Wishes") -> Fields:
        exchange, name = self._exchange, wishes.text("account")
        exchange.accounts.get(name)
        return {
            "account": name,
            "holdings": dict(exchange.inquiry.holdings(name)),
            "open_orders": list(exchange.inquiry.open_orders(name)),
            "closed_orders": list(exchange.inquiry.closed_orders(name)),
            "fills": list(exchange.inquiry.fills(name)),
            "ledger": list(exchange.inquiry.ledger(name)),
            "volume_30d": exchange.inquiry.volume_30d(name),
        }

    def _flows(self, wishes: "Wishes") -> Fields:
        flows = self._oracle_of_all.flows(wishes.text("account"))
        return {
            name: attrs.asdict(flow) | {"closing": flow.closing} for name, flow in flows.items()
        }

    def _discrepancies(self, wishes: "Wishes") -> Fields:
        return {"discrepancies": list(self._oracle_of_all.discrepancies())}

    def _book(self, wishes: "Wishes") -> Fields:
        symbol = f"{wishes.text('base')}/{wishes.text('quote')}"
        pair, book = self._exchange.pair(symbol), self._exchange.whole_book(symbol)

        def rows(levels: Levels) -> list[object]:
            prices, quantities = pair.price_decimals, pair.lot_decimals
            return [[units(at, prices), units(size, quantities)] for at, size in levels]

        return {
            "symbol": symbol,
            "bids": rows(book.bids),
            "asks": rows(book.asks),
            "checksum": book.checksum,
            "time_ns": book.time_ns,
        }

    def _summary(self) -> Fields:
        return {
            "engine": self._exchange.engine_state,
            "now_ns": self._clock.now_ns(),
            "pairs": [pair.symbol for pair in self._exchange.pairs()],
            "accounts": [account.name for account in self._exchange.accounts.all()],
        }


class Wishes:
    """What a control request asks for, with plain complaints about what it can't mean."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @classmethod
    async def of(cls, request: web.Request) -> "Wishes":
        """Read a request's JSON body and path."""
        values: dict[str, Any] = {}
        if body := await request.read():
            try:
                found = json.loads(body, parse_float=Decimal)
            except ValueError as error:
                raise UsageError(f"body: not JSON ({error})") from error
            if not isinstance(found, dict):
                raise UsageError("body: not a JSON object")
            values |= found
        return cls(values | dict(request.match_info))

    def raw(self, name: str) -> Any:
        """Return what was given, of whatever type; None if it was not."""
        return self._values.get(name)

    def optional(self, name: str) -> str | None:
        """Return a text, None if not given."""
        value = self._values.get(name)
        return None if value is None else str(value)

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        value = self.optional(name)
        if not value:
            raise UsageError(f"{name}: missing; give a text")
        return value

    def number(self, name: str) -> Decimal | None:
        """Return a number, None if not given."""
        value = self._values.get(name)
        return None if value is None else _decimal(name, value)

    def amount(self, name: str) -> Decimal:
        """Return a number that must be there."""
        number = self.number(name)
        if number is None:
            raise UsageError(f"{name}: missing; give a number or a text of one")
        return number

    def side(self) -> Side:
        """Return the side, which must be there and `buy` or `sell`."""
        text = self.text("side")
        if text not in ("buy", "sell"):
            raise UsageError(f"side: {text!r} is neither buy nor sell")
        return Side(text)

    def integer(self, name: str) -> int | None:
        """Return a whole number, None if not given."""
        number = self.number(name)
        if number is None:
            return None
        if number != int(number):
            raise UsageError(f"{name}: {number} is not a whole number")
        return int(number)


def plain(value: object) -> object:
    """Return a value as JSON can hold it; amounts become texts, so that no digit is lost."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, enum.Enum):
        return value.value
    if attrs.has(type(value)):
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(value)))
        return {
            field.name: plain(getattr(value, field.name))
            for field in fields
            if not field.name.startswith("_")
        }
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def _decimal(name: str, value: object) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise UsageError(f"{name}: {value!r} is not a number") from None


def _json(answer: object, status: int = 200) -> web.Response:
    return web.Response(body=dumps(plain(answer)), status=status, content_type="application/json")
