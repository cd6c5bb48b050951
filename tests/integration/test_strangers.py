"""Other people's Kraken clients, unmodified but for their addresses, against our simulator.

They live in an environment of their own, made by uv, and run as processes of their own.  What they
saw is compared with what the exchange itself knows.  Where the environment can't be made these
tests are skipped; with ARBITRADE_REQUIRE_STRANGERS=1 that is a failure.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from arbitrade.testing.isolation import at_home
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.simulator.exchange.listed import ListedPairs

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "plugins" / "kraken" / "tests" / "strangers"
REQUIRED = "ARBITRADE_REQUIRE_STRANGERS"
PAIRS = 120
BALANCES = {"USD": "100000", "EUR": "50000", "BTC": "2", "ETH": "50", "SOL": "500"}

pytestmark = pytest.mark.timeout(600)  # the first time an environment is filled

type Seen = dict[str, Any]


@pytest.fixture(scope="session")
def python() -> Path:
    """Return the Python of the strangers' environment; made once for each list of pins."""
    pins = (SCRIPTS / "pyproject.toml").read_bytes()
    name = hashlib.sha256(pins + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".nox" / "strangers" / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = folder / "finished"
    if finished.is_file() and python.is_file():
        return python
    uv = uv_command()
    if uv is None:
        return unavailable("uv is not installed")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = called(*uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    install = (*uv, "pip", "install", "--quiet", "--python", str(python))
    install += ("--group", "pyproject.toml:strangers")
    for offline in (("--offline",), ()):
        if made.returncode == 0:
            filled = called(*install, *offline)
            if filled.returncode == 0:
                finished.touch()
                return python
            made = filled if not offline else made
    return unavailable(f"no environment for other people's clients: {made.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Seen]:
    """Return where a simulator listens; it is a process of its own, its market stands still."""
    command = (sys.executable, "-m", "arbitrade", "simulate", "--json", "--prompt")
    command += ("--pairs", str(PAIRS), "--rate", "0", "--seed", "7", "--for", "20m")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def saw(python: Path, simulator: Seen) -> Callable[..., Seen]:
    """Return a function that runs a script once, with an account of its own."""
    known: dict[str, subprocess.CompletedProcess[str]] = {}

    def run(script: str, **given: object) -> Seen:
        name = "-".join([script, *map(str, given.values())])
        if name not in known:
            account = {"name": name, "balances": BALANCES}
            opened = control(simulator, "accounts", account)
            known[name] = subprocess.run(
                [str(python), str(SCRIPTS / f"{script}.py")],
                input=json.dumps(simulator | opened | given),
                capture_output=True,
                text=True,
                env=clean(),
                timeout=PATIENCE_S,
            )
        ran = known[name]
        assert ran.returncode == 0, ran.stderr
        seen: Seen = json.loads(ran.stdout.splitlines()[-1])
        return seen

    return run


# ── books ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("script", ["sdk_books", "ccxt_books"])
@pytest.mark.parametrize(("depth", "rounds"), [(10, 4), (100, 1)])
def test_every_checksum_of_their_books_is_right_and_every_level_true(saw, script, depth, rounds):
    books = saw(script, depth=depth, pairs=PAIRS, rounds=rounds, steps=1000)

    assert books["pairs"] == PAIRS
    assert books["updates"] >= 700 * rounds
    assert books["mismatches"] == []
    assert books["wrong"] == []
    assert books["levels_compared"] > PAIRS * rounds * 15


# ── the venue, over REST ─────────────────────────────────────────────────────────────────────────


def test_ccxt_knows_every_market_with_its_steps_and_minimums(saw):
    markets = saw("ccxt_rest")["venue"]["markets"]
    listed = ListedPairs.load().select(PAIRS)

    def ledger_step(asset: str) -> Decimal:
        return Decimal(1).scaleb(-listed.assets[asset].decimals)

    assert {
        name: (
            Decimal(str(market["precision"]["price"])),
            Decimal(str(market["precision"]["amount"])),
            Decimal(str(market["minimum"])),
            Decimal(str(market["cost"])),
        )
        for name, market in markets.items()
    } == {
        # Of a quantity it keeps no more decimals than the base asset's ledger does.
        name: (
            pair.tick,
            max(pair.lot_step, ledger_step(pair.base)),
            pair.minimum_quantity,
            pair.minimum_cost,
        )
        for name, pair in listed.pairs.items()
    }


def test_sdk_knows_every_pair_and_every_asset(saw):
    venue = saw("sdk_rest")["venue"]
    listed = ListedPairs.load().select(PAIRS)

    assert {
        key: (row["pair_decimals"], row["lot_decimals"], row["cost_decimals"], row["ordermin"])
        for key, row in venue["pairs"].items()
    } == {
        pair.key: (
            pair.price_decimals,
            pair.lot_decimals,
            pair.cost_decimals,
            f"{pair.minimum_quantity.normalize():f}",
        )
        for pair in listed.pairs.values()
    }
    assert {key: row["decimals"] for key, row in venue["assets"].items()} == {
        asset.asset_id: asset.decimals for asset in listed.assets.values()
    }
    assert list(venue["pair"]) == ["ETH/USD"]  # the name that was asked for


def test_prices_over_rest_are_those_of_the_true_book(saw):
    ccxt, sdk = saw("ccxt_rest")["venue"], saw("sdk_rest")["venue"]

    assert ccxt["status"] == "ok"
    assert sdk["status"]["status"] == "online"
    for symbol, top in ccxt["tops"].items():
        true = [float(top[side][0][0]) for side in ("bids", "asks")]
        assert ccxt["tickers"][symbol] == true, symbol
    # Over REST volumes are cut to three decimals.
    for mine, true in zip(ccxt["depth"]["mine"], ccxt["depth"]["true"], strict=True):
        assert [row[0] for row in mine] == [float(price) for price, _ in true]
        assert all(
            0 <= float(size) - row[1] < 0.001 for row, (_, size) in zip(mine, true, strict=True)
        )
    for side in ("bids", "asks"):
        prices = [Decimal(row[0]) for row in sdk["depth"]["ETH/USD"][side]]
        assert prices == [Decimal(price) for price, _ in sdk["true"][side]]
    assert ccxt["trades"]
    assert ccxt["candles"]
    assert sdk["trades"]["ETH/USD"]
    assert sdk["ohlc"]["ETH/USD"]


# ── orders, over REST ────────────────────────────────────────────────────────────────────────────


def test_ccxt_places_amends_and_cancels_and_agrees_with_the_exchange_on_what_is_open(saw):
    seen = saw("ccxt_rest")

    opened = {
        row["id"]: (row["side"], row["price"], row["amount"], row["filled"])
        for row in seen["opened"]
    }
    assert opened == {
        row["order_id"]: (
            row["side"],
            float(row["limit_price"]),
            float(row["quantity"]),
            float(row["filled"]),
        )
        for row in seen["oracle_open"]["open_orders"]
    }
    resting, post = seen["placed"]["resting"]["id"], seen["placed"]["post"]["id"]
    assert set(opened) == {resting, post, *seen["batch"]}
    assert opened[resting][2] == 1.5  # amended in place
    assert seen["placed"]["validated"]["id"] is None
    assert [answer["result"]["count"] for answer in seen["cancelled"]] == [1, 2, 2]
    assert set(seen["left"]) == {resting, post}
    assert seen["still_open"] == []
    assert seen["after_x"][0]["triggerTime"] > seen["after_x"][0]["currentTime"]
    assert seen["token"] > 20


def test_ccxt_sees_the_fills_the_balances_and_the_fees_the_exchange_booked(saw):
    seen = saw("ccxt_rest")
    oracle = seen["oracle"]

    assert sorted(seen["mine"]) == sorted(
        [
            row["exec_id"],
            row["order_id"],
            row["side"],
            float(row["price"]),
            float(row["quantity"]),
            float(row["cost"]),
            {"cost": float(row["fee"]), "currency": row["fee_asset"]},
            "taker",
        ]
        for row in oracle["fills"]
    )
    # Unless told otherwise the venue makes one row of what an order took.
    assert sorted(row[1] for row in seen["consolidated"]) == sorted(
        {row["order_id"] for row in oracle["fills"]}
    )
    assert sum(row[2] for row in seen["consolidated"]) == pytest.approx(
        sum(float(row["quantity"]) for row in oracle["fills"])
    )
    held = seen["oracle_open"]["holdings"]
    assert {name: (row["total"], row["used"]) for name, row in seen["held"].items()} == {
        name: (float(row["total"]), float(row["held"])) for name, row in held.items()
    }
    assert seen["after"] == {name: float(row["total"]) for name, row in oracle["holdings"].items()}
    assert {row[0]: (row[2], row[6]) for row in seen["ledger"]} == {
        row["ledger_id"]: (row["asset"], float(row["balance"])) for row in oracle["ledger"]
    }
    assert {row["id"]: row["status"] for row in seen["closed"]} == {
        row["order_id"]: "closed" if row["status"] == "filled" else row["status"]
        for row in oracle["closed_orders"]
    }
    assert seen["asked"]["status"] == "closed"
    assert seen["fee"] == [0.0025, 0.004]


def test_ccxt_takes_each_refusal_for_what_it_is(saw):
    assert {
        name: text.partition(":")[0] for name, text in saw("ccxt_rest")["refusals"].items()
    } == {
        "post only": "ExchangeError",  # it has no class of its own for these two
        "signature": "ExchangeError",
        "funds": "InsufficientFunds",
        "minimum": "InvalidOrder",
        "unknown": "OrderNotFound",
        "symbol": "ExchangeError",
        "key": "AuthenticationError",
    }


def test_sdk_places_amends_edits_and_cancels_and_agrees_with_the_exchange(saw):
    seen = saw("sdk_rest")
    resting, taken, swept, checked, amended, replaced, edited, batch = seen["placed"]

    assert {
        order: (row["descr"]["price"], row["vol"], row.get("cl_ord_id"))
        for order, row in seen["opened"]["open"].items()
    } == {
        row["order_id"]: (row["limit_price"], row["quantity"], row["client_id"])
        for row in seen["oracle_open"]["open_orders"]
    }
    assert "txid" not in checked
    assert amended["amend_id"].startswith("T")
    assert edited["originaltxid"] == replaced["txid"][0]
    assert [row.get("error") for row in batch["orders"]] == [
        None,
        None,
        "EOrder:Insufficient funds",
    ]
    assert seen["cancelled"][0] == {"count": 1}
    assert seen["cancelled"][1] == {"count": 2}
    assert seen["cancelled"][4] == {"count": 1}
    assert seen["left"] == {"open": {}}
    assert resting["txid"][0] in seen["closed"]["closed"]
    assert [seen["asked"][order["txid"][0]]["status"] for order in (taken, swept)] == [
        "closed",
        "closed",
    ]


def test_sdk_sees_balances_trades_ledger_and_fees_to_the_last_digit(saw):
    seen = saw("sdk_rest")
    oracle = seen["oracle"]
    ids = {asset.name: asset.asset_id for asset in ListedPairs.load().assets.values()}

    assert seen["after"] == {ids[name]: row["total"] for name, row in oracle["holdings"].items()}
    assert {
        name: (row["balance"], Decimal(row["hold_trade"])) for name, row in seen["extended"].items()
    } == {
        ids[name]: (row["total"], Decimal(row["held"]))
        for name, row in seen["oracle_open"]["holdings"].items()
    }
    assert {
        name: (row["ordertxid"], row["cost"], row["fee"], row["vol"])
        for name, row in seen["trades"]["trades"].items()
    } == {
        row["exec_id"]: (row["order_id"], row["cost"], row["fee"], row["quantity"])
        for row in oracle["fills"]
    }
    assert {
        name: (row["refid"], row["asset"], Decimal(row["amount"]), Decimal(row["balance"]))
        for name, row in seen["ledger"]["ledger"].items()
    } == {
        row["ledger_id"]: (
            row["reference"],
            ids[row["asset"]],
            Decimal(row["amount"]),
            Decimal(row["balance"]),
        )
        for row in oracle["ledger"]
    }
    assert {name: row["fee"] for name, row in seen["volume"]["fees"].items()} == {
        "ETH/USD": "0.4000",
        "SOL/USD": "0.4000",
    }
    assert seen["token"]["expires"] == 900


def test_sdk_takes_each_refusal_for_what_it_is(saw):
    assert {name: text.partition(":")[0] for name, text in saw("sdk_rest")["refusals"].items()} == {
        "funds": "KrakenInsufficientFundsError",
        "minimum": "KrakenOrderMinimumNotMetError",
        "unknown": "KrakenUnknownOrderError",
        "pair": "KrakenUnknownAssetError",  # it knows no word for a pair
        "key": "KrakenInvalidAPIKeyError",
        "signature": "KrakenInvalidSignatureError",
    }


# ── streams and orders, over WebSocket ───────────────────────────────────────────────────────────


def test_ccxt_watches_tickers_trades_and_candles(saw):
    public = saw("ccxt_ws")["public"]

    assert public["settled"], (public["ticker"], public["true"])
    assert len(public["trades"]) >= 20
    numbers = [int(row[0]) for row in public["trades"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_ccxt_trades_over_its_socket_and_hears_of_every_fill_and_every_balance(saw):
    seen = saw("ccxt_ws")
    private, oracle = seen["private"], seen["oracle"]

    assert private["trades"] == [
        [
            row["exec_id"],
            row["order_id"],
            row["symbol"],
            row["side"],
            float(row["price"]),
            float(row["quantity"]),
            float(row["cost"]),
            {"cost": float(row["fee"]), "currency": row["fee_asset"]},
            "taker",
        ]
        for row in oracle["fills"]
    ]
    assert private["balances_settled"]
    assert private["closing"] == {
        name: float(row["total"]) for name, row in oracle["holdings"].items()
    }
    assert set(private["placed"]) == {row["order_id"] for row in oracle["closed_orders"]}
    assert private["orders_settled"]
    assert private["amended"]["order_id"] == private["placed"][2]
    assert private["refused"] == "ExchangeError: EOrder:Insufficient funds"
    assert private["unknown"] == "OrderNotFound: EOrder:Unknown order"
    assert private["cancelled"][2]["result"] == {"count": 1}
    assert private["still_open"] == []


def test_sdk_hears_every_execution_and_every_ledger_row_in_order_without_a_gap(saw):
    seen = saw("sdk_ws")
    oracle = seen["oracle"]

    for name, numbers in seen["sequences"].items():
        assert numbers == list(range(1, len(numbers) + 1)), name
    assert seen["settled"]
    fills = [row for row in seen["executions"] if row["exec_type"] == "trade"]
    assert [
        (row["exec_id"], row["last_price"], row["last_qty"], row["fees"][0]["qty"]) for row in fills
    ] == [
        (row["exec_id"], float(row["price"]), float(row["quantity"]), float(row["fee"]))
        for row in oracle["fills"]
    ]
    assert [row["liquidity_ind"] for row in fills] == [
        "m" if row["is_maker"] else "t" for row in oracle["fills"]
    ]
    assert fills[-1]["liquidity_ind"] == "m"
    assert {row["ledger_id"]: row["balance"] for row in seen["balances"]} == {
        row["ledger_id"]: float(row["balance"])
        for row in oracle["ledger"]
        if row["kind"] == "trade"
    }
    of_first = [
        row["exec_type"] for row in seen["executions"] if row["order_id"] == fills[0]["order_id"]
    ]
    assert of_first[:2] == ["pending_new", "new"]
    assert of_first[-1] == "filled"


def test_sdk_uses_every_order_method(saw):
    seen = saw("sdk_ws")
    asked = seen["asked"]

    refused = {name: rows[0].get("error") for name, rows in asked.items() if not rows[0]["success"]}
    assert refused == {
        "funds": "EOrder:Insufficient funds",
        "text": "Limit_price field must be a number_float",
        "edit named": "EGeneral:Invalid arguments:cl_ord_id",
        "cancel gone": "EOrder:Unknown order",
    }
    assert asked["validate"][0]["result"]["order_id"] == ""
    assert [row["result"]["cl_ord_id"] for row in asked["cancel"]] == ["sdk-ws-0", "sdk-ws-2"]
    assert (
        asked["edit"][0]["result"]["original_order_id"] == (asked["plain"][0]["result"]["order_id"])
    )
    assert asked["batch cancel"][0]["result"] == {"count": 2}
    assert asked["cancel all"][0]["result"] == {"count": 1}
    assert asked["switch off"][0]["result"]["triggerTime"] == "0"
    assert {row["order_id"] for row in seen["middle"]["open_orders"]} >= {
        row["order_id"] for row in asked["batch"][0]["result"]
    }
    assert seen["oracle"]["open_orders"] == []


def test_sdk_hears_the_status_first_and_every_market_channel(saw):
    seen = saw("sdk_ws")

    assert seen["opened"]
    assert {row["data"][0]["system"] for row in seen["status"]} == {"online"}
    assert seen["instrument"]["pairs"] == PAIRS
    assert seen["ticker"][-1]["data"][0]["symbol"] == "ETH/USD"
    assert seen["refused"][0]["error"] == "Currency pair not supported NO/SUCH"


# ── the machinery ────────────────────────────────────────────────────────────────────────────────


def control(simulator: Seen, path: str, wishes: Seen) -> Seen:
    request = urllib.request.Request(
        f"{simulator['control']}/{path}", data=json.dumps(wishes).encode()
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        found: Seen = json.load(answer)
    return found


def unavailable(why: str) -> Path:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(why)
    pytest.skip(why)


def called(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run uv where the strangers' own list of packages is the nearest."""
    return subprocess.run(command, cwd=SCRIPTS, env=clean(), capture_output=True, text=True)


def uv_command() -> list[str] | None:
    named = os.environ.get("UV")  # `uv run` tells its children which uv it is
    if named:
        return [named]
    if find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return None if found is None else [found]


def clean() -> dict[str, str]:
    """Return the environment without what belongs to the project's own."""
    ours = ("ARBITRADE_", "VIRTUAL_ENV", "PYTHON", "PYTEST_", "UV_PROJECT")
    return {name: value for name, value in at_home().items() if not name.startswith(ours)}
