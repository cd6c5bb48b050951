"""What every face of the simulator shares: the exchange, the time it tells, tokens, chance."""

from base64 import urlsafe_b64encode
from decimal import Decimal
from random import Random

import attrs

from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces.settings import WireSettings
from arbitrade_kraken.simulator.faces.wire import timestamp

_MILLISECOND_NS = 1_000_000
_SECOND_NS = 1_000_000_000


@attrs.define
class SocketToken:
    """A WebSocket token.  Once a subscription stands with it, it stays good on that socket."""

    key: ApiKey
    issued_ns: int
    sockets: set[int] = attrs.Factory(set)


class Face:
    """The exchange as its faces show it: WebSocket, REST and simulated time share one.

    Args:
        exchange: What all of them show.
        wire: How the faces behave.
        seed: For delays and ids of the wire; the exchange draws from another.
    """

    def __init__(self, exchange: Exchange, wire: WireSettings, seed: int) -> None:
        self.exchange = exchange
        self.wire = wire
        self.rng = Random(seed)  # noqa: S311 - of a simulator: the same for a seed
        self._clock = exchange.clock
        self._tokens: dict[str, SocketToken] = {}
        self._second, self._second_text = -1, ""

    @property
    def faults(self) -> Faults:
        """The exchange's switchboard of what goes wrong."""
        return self.exchange.faults

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    def now_ns(self) -> int:
        """Return the time the venue believes it is; a fault may have put its clock wrong."""
        now = self._clock.now_ns()
        if self.faults.is_quiet:
            return now
        skew = self.faults.peek("clock_skew")
        return now if skew is None else now + int((skew.value or 0) * _MILLISECOND_NS)

    def time(self) -> str:
        """Return the time it believes as RFC 3339 with microseconds."""
        return self.text_of(self.now_ns())

    def text_of(self, time_ns: int) -> str:
        """Return a time as RFC 3339.  About 0.4 µs within the same second."""
        second, rest = divmod(time_ns, _SECOND_NS)
        if second != self._second:
            self._second = second
            self._second_text = timestamp(time_ns)[:20]
        return f"{self._second_text}{rest // 1000:06d}Z"

    def delay_s(self, milliseconds: tuple[int, int]) -> float:
        """Return a delay between two bounds, in seconds."""
        shortest, longest = milliseconds
        if longest <= shortest:
            return shortest / 1000
        return self.rng.uniform(shortest, longest) / 1000

    # ── tokens ───────────────────────────────────────────────────────────────────────────────────

    def issue_token(self, key: ApiKey) -> str:
        """Return a new token for the key's account."""
        token = urlsafe_b64encode(self.rng.randbytes(32)).decode().rstrip("=")
        self._tokens[token] = SocketToken(key, self._clock.now_ns())
        return token

    def check_token(self, text: object, socket: int) -> SocketToken:
        """Return the token a request on a socket came with.

        Raises:
            VenueRefusal: Missing, unknown or stale; the socket stays open all the same.
        """
        token = self._tokens.get(text) if isinstance(text, str) else None
        if token is None:
            raise VenueRefusal("ESession:Invalid session")
        if not self.faults.is_quiet:
            fault = self.faults.take("token_expired", account=token.key.account)
            if fault is not None:
                raise VenueRefusal(fault.text or "EAPI:Invalid token")
        age_ns = self._clock.now_ns() - token.issued_ns
        if socket not in token.sockets and age_ns > self.wire.token_s * _SECOND_NS:
            raise VenueRefusal("ESession:Invalid session")
        return token

    # ── worth ────────────────────────────────────────────────────────────────────────────────────

    def in_usd(self, asset: str, amount: Decimal) -> Decimal:
        """Return what an amount is worth, by the middle of the asset's book against USD.

        Zero when nothing tells.
        """
        if asset == "USD" or not amount:
            return amount
        pairs = self.exchange.listed.pairs
        for symbol, is_inverse in ((f"{asset}/USD", False), (f"USD/{asset}", True)):
            facts = pairs.get(symbol)
            if facts is None:
                continue
            book = self.exchange.book(symbol, 1)
            if book.bids and book.asks:
                decimals = self.exchange.pair(symbol).price_decimals
                middle = Decimal(book.bids[0][0] + book.asks[0][0]).scaleb(-decimals) / 2
                return amount / middle if is_inverse else amount * middle
        return Decimal(0)
