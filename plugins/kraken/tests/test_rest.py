"""REST against a scripted venue: what is repeated, what is not, what is counted."""

import asyncio
from decimal import Decimal

import pytest
from aiohttp import web

from arbitrade import Settings
from arbitrade.errors import AuthenticationError, MessageError, VenueUnavailableError
from arbitrade_kraken.account.account import make_account
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.rest.answers import PairNames, read_fee_rates
from arbitrade_kraken.together import together
from arbitrade_kraken.venue_errors import NonceError, RateLimitedError, RequestError


@pytest.fixture
def transport() -> str:
    """REST has nothing to do with who reads the WebSocket."""
    return "websockets"


@pytest.fixture
async def api(account_settings):
    account = make_account(account_settings(rest_patience_s=0.01, rest_timeout_s=0.3))
    yield account.api
    await account.close()


def once(first, then):
    left = [first]
    return lambda fields: left.pop() if left else then


async def test_nonces_grow_from_call_to_call(api, venue_account):
    await asyncio.gather(*(api.balances() for _ in range(4)))
    assert venue_account.nonces == sorted(set(venue_account.nonces))


@pytest.mark.parametrize(
    "trouble",
    [
        "EService:Unavailable",
        "EGeneral:Internal error",
        web.Response(status=502, text="<html>bad gateway</html>"),
        web.Response(status=520),
    ],
)
async def test_reads_are_repeated(api, venue_account, trouble):
    venue_account.rest["OpenOrders"] = once(trouble, {"open": {}})
    assert await api.open_orders() == []
    assert len(venue_account.calls_of("OpenOrders")) == 2


async def test_read_that_is_never_answered_gives_up(api, venue_account):
    venue_account.rest["BalanceEx"] = "EService:Busy"
    with pytest.raises(VenueUnavailableError, match="EService:Busy"):
        await api.balances()
    assert len(venue_account.calls_of("BalanceEx")) == 4


@pytest.mark.parametrize("trouble", ["EService:Busy", web.Response(status=503)])
async def test_cancels_are_not_repeated(api, venue_account, trouble):
    venue_account.rest["CancelAll"] = trouble
    with pytest.raises(VenueUnavailableError):
        await api.cancel_all()
    assert len(venue_account.calls_of("CancelAll")) == 1


async def test_call_that_takes_too_long_ends(api, venue_account):
    venue_account.rest["CancelAll"] = lambda fields: asyncio.sleep(5)
    with pytest.raises(VenueUnavailableError, match="no answer within"):
        await api.cancel_all()


async def test_bad_nonce_is_signed_anew_once(api, venue_account):
    venue_account.rest["CancelAll"] = once("EAPI:Invalid nonce", {"count": 2})
    assert await api.cancel_all() == 2
    venue_account.rest["CancelAll"] = "EAPI:Invalid nonce"
    with pytest.raises(NonceError):
        await api.cancel_all()
    assert len(venue_account.calls_of("CancelAll")) == 4


@pytest.mark.parametrize("text", ["EAPI:Invalid key", "EAPI:Invalid signature"])
async def test_refused_key_is_not_tried_again(api, venue_account, text):
    venue_account.rest["BalanceEx"] = text
    with pytest.raises(AuthenticationError):
        await api.balances()
    assert len(venue_account.calls_of("BalanceEx")) == 1


async def test_full_counter_stops_the_calls_on_our_side(api, venue_account):
    venue_account.rest["TradesHistory"] = "EAPI:Rate limit exceeded"
    with pytest.raises(RateLimitedError):
        await api.trades("2026-09-14T08:20:00Z")
    with pytest.raises(RateLimitedError, match="not sent"):
        await api.ledger("2026-09-14T08:20:00Z")
    assert not venue_account.calls_of("Ledgers")


async def test_history_leaves_room_for_what_matters(api, venue_account):
    venue_account.rest["TradesHistory"] = {"trades": {}, "count": 0}
    venue_account.rest["CancelAll"] = {"count": 0}
    for _ in range(3):
        await api.trades("2026-09-14T08:20:00Z")
    with pytest.raises(RateLimitedError, match="not sent"):
        await api.trades("2026-09-14T08:20:00Z")
    await api.token()
    await api.open_orders()
    await api.cancel_all()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.Response(status=200, text="<html>"), MessageError),
        (web.Response(status=200, text="[]"), MessageError),
        (web.json_response({"error": []}), MessageError),
        (web.json_response({"error": [], "result": None}), MessageError),
        (web.json_response({"error": ["ENew:What"], "result": None}), Exception),
        (web.Response(status=403), RequestError),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), RequestError),
        (web.Response(status=429), RateLimitedError),
    ],
)
async def test_answers_that_are_none_are_errors_of_ours(api, venue_account, answer, error):
    venue_account.rest["CancelAll"] = answer
    with pytest.raises(error):
        await api.cancel_all()


async def test_warnings_come_along_with_a_result(api, venue_account):
    venue_account.rest["CancelAll"] = web.json_response(
        {"error": ["WGeneral:Soon gone"], "result": {"count": 1}}
    )
    assert await api.cancel_all() == 1


async def test_public_calls_are_read_into_models(api, venue_account):
    venue_account.rest["Time"] = {"unixtime": 1789374000, "rfc1123": "…"}
    venue_account.rest["Assets"] = {"XXBT": {"altname": "XBT", "decimals": 10}}
    assert (await api.server_time()).isoformat() == "2026-09-14T08:20:00+00:00"
    assert [(a.name, a.precision) for a in await api.assets()] == [("BTC", 10)]
    assert [pair.symbol for pair in (await api.instruments("DE")).pairs] == ["SOL/EUR", "BTC/USD"]
    assert venue_account.calls_of("AssetPairs")[-1] == {"country_code": "DE"}


async def test_names_are_known_in_every_spelling(api):
    names = await api.pair_names()
    for name in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"):
        assert names.symbol(name) == "BTC/USD"
    assert names.symbol("NEWUSD") == "NEWUSD"


async def test_balances_leave_out_what_cannot_be_traded(api, venue_account):
    venue_account.rest["BalanceEx"] = {
        "ZUSD": {"balance": "10.5", "hold_trade": "0.5", "credit": "2", "credit_used": "1"},
        "XXBT": {"balance": "0.1"},
        "DOT28.S": {"balance": "7"},
        "EUR.HOLD": {"balance": "7"},
    }
    usd, btc = await api.balances()
    assert (usd.asset, usd.available) == ("USD", Decimal("11"))
    assert (btc.asset, btc.held) == ("BTC", Decimal(0))


async def test_history_is_paged_to_its_end_without_doubles(api, venue_account):
    def row(second):
        return {
            "ordertxid": "O1",
            "pair": "SOLEUR",
            "time": second,
            "type": "buy",
            "price": "1",
            "cost": "1",
            "fee": "0",
            "vol": "1",
        }

    pages = [
        {"trades": {"T3": row(3), "T2": row(2)}, "count": 3},
        {"trades": {"T2": row(2), "T1": row(1)}, "count": 3},
    ]
    venue_account.rest["TradesHistory"] = lambda fields: pages[0 if fields["ofs"] == "0" else 1]
    trades = await api.trades("1970-01-01T00:00:00Z")
    assert [trade.fill.exec_id for trade in trades] == ["T1", "T2", "T3"]


async def test_ledger_is_read_to_its_end(api, venue_account):
    row = {
        "refid": "T1",
        "time": 1789374000.5,
        "type": "trade",
        "asset": "ZEUR",
        "amount": "-498.0080",
        "fee": "1.9920",
        "balance": "0.0000",
    }
    venue_account.rest["Ledgers"] = {"ledger": {"L1": row}, "count": 1}
    (change,) = await api.ledger("2026-09-14T08:00:00Z")
    assert (change.asset, change.amount, change.reference) == ("EUR", Decimal("-498.0080"), "T1")


async def test_pair_without_rates_for_makers_has_one_schedule_for_both():
    result = {"volume": "0", "fees": {"SOLEUR": {"fee": "0.4000"}}}
    (rates,) = read_fee_rates(result, PairNames({"SOLEUR": "SOL/EUR"}))
    assert (rates.symbol, rates.taker, rates.maker) == (
        "SOL/EUR",
        Decimal("0.004"),
        Decimal("0.004"),
    )


def test_market_data_settings_are_read_without_looking_for_a_secret():
    """The registered section has credentials; who asks for the base class touches none."""
    asked: list[str] = []
    settings = Settings(
        structured={"kraken": KrakenAccountSettings(depth=25)},
        find_secret=lambda name: asked.append(name),
    )
    assert settings.section("kraken", KrakenSettings).depth == 25
    assert asked == []
    settings.section("kraken", KrakenAccountSettings)
    assert asked == ["kraken.api_key", "kraken.api_secret"]


async def test_cancelling_what_runs_together_is_not_lost_behind_an_error():
    begun = asyncio.Event()

    async def fail_when_told() -> None:
        await begun.wait()
        raise MessageError("now")

    task = asyncio.ensure_future(together(fail_when_told(), asyncio.sleep(60)))
    await asyncio.sleep(0)
    begun.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
