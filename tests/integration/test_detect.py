"""`arbitrade detect` as a user runs it, on real and generated recordings."""

import gzip
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
import zstandard

from arbitrade.hot import INTERPRETED, LOOP
from arbitrade.hot.finding import find
from arbitrade.testing.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
STAGES = (LOOP, "arbitrade_kraken._hot", "arbitrade_triangular._hot")
MISSING = [reason for name in STAGES if isinstance(reason := find(name), str)]
BTCUSD = REPOSITORY / "tests" / "data" / "btcusd-d10-20230730.jsonl"


@pytest.fixture(autouse=True, params=["interpreted", "compiled"])
def _over_either_hot_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "interpreted":
        monkeypatch.setenv(INTERPRETED, "1")
    elif MISSING or os.environ.get(INTERPRETED) == "1":
        pytest.skip("; ".join(MISSING) or f"{INTERPRETED}=1")


def run(
    *arguments: str | Path, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder without settings; never raises."""
    completed = subprocess.run(
        [sys.executable, "-m", "arbitrade", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("ARBITRADE_")},
            INTERPRETED: os.environ.get(INTERPRETED, ""),
            "ARBITRADE_CONFIG": str(Path(__file__).parent),
            **environment,
        },
        check=False,
    )
    return subprocess.CompletedProcess(
        completed.args, completed.returncode, completed.stdout.decode(), completed.stderr.decode()
    )


def pair(symbol: str, price_precision: int = 2, **changes: object) -> dict[str, object]:
    base, quote = symbol.split("/")
    return {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "status": "online",
        "qty_precision": 8,
        "qty_increment": 1e-08,
        "price_precision": price_precision,
        "cost_precision": 8,
        "price_increment": float(f"1e-{price_precision}"),
        "qty_min": 0,
        "cost_min": 0,
        **changes,
    }


def instruments(*pairs: dict[str, object]) -> bytes:
    frame = {
        "channel": "instrument",
        "type": "snapshot",
        "data": {"assets": [], "pairs": list(pairs)},
    }
    return json.dumps(frame).encode()


def checksum(precision: int, bids: str, asks: str) -> int:
    from zlib import crc32

    def digits(side: str) -> str:
        return "".join(
            str(int(Decimal(price).scaleb(precision))) + str(int(Decimal(quantity).scaleb(8)))
            for price, quantity in (level.split("x") for level in side.split())
        )

    return crc32((digits(asks) + digits(bids)).encode())


def snapshot(symbol: str, bids: str, asks: str, precision: int = 2, **changes: object) -> bytes:
    """A book from `"price x quantity"` levels, best first, checksum included."""

    def side(text: str) -> str:
        levels = [level.split("x") for level in text.split()]
        return ",".join(f'{{"price":{p},"qty":{q}}}' for p, q in levels)

    crc = changes.get("checksum", checksum(precision, bids, asks))
    return (
        f'{{"channel":"book","type":"snapshot","data":[{{"symbol":"{symbol}","bids":[{side(bids)}],'
        f'"asks":[{side(asks)}],"checksum":{crc},"timestamp":"2026-09-14T08:21:37.611204Z"}}]}}'
    ).encode()


# A worked example: USD → BTC → ETH → USD, optimum 15,005 at 0.1 % taken from the proceeds.
EXAMPLE = [
    instruments(pair("BTC/USD"), pair("ETH/BTC", 4), pair("ETH/USD")),
    snapshot("BTC/USD", "49000x1", "50000x0.10 50025x0.20 50100x1"),
    snapshot("ETH/BTC", "0.0500x1", "0.0600x2 0.0601x3 0.0603x10", 4),
    snapshot("ETH/USD", "3025x2.5 3018x3 3000x10", "3100x1"),
]


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def found(completed: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line, parse_float=Decimal) for line in completed.stdout.splitlines()]


def test_every_checksum_of_the_bundled_btcusd_capture_is_right(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    completed = run("detect", BTCUSD, "--summary", summary)
    assert completed.returncode == 0, completed.stderr
    told = orjson.loads(summary.read_bytes())
    assert told["checksums"] == {"right": 510, "wrong": 0, "skipped": 0}
    assert (told["frames"], told["book_updates"], told["pairs"]) == (511, 510, 1)
    assert (told["cycles"], told["detections"], told["episodes"], told["resyncs"]) == (0, 0, 0, 0)
    wanted = "interpreted" if MISSING or os.environ.get(INTERPRETED) == "1" else "compiled"
    assert told["hot_path"] == wanted
    assert told["frames_per_s"] > 0
    assert set(told["latency_us"]) == set(told["sizing_us"]) == {"p50", "p99", "p999"}


def test_the_worked_example_comes_out_with_its_exact_figures(tmp_path: Path) -> None:
    path = write(tmp_path / "example.jsonl", *EXAMPLE)
    completed = run(
        "detect", path, "--taker-fee", "0.001", "--out", "-", ARBITRADE_FEES__CHARGED_IN="proceeds"
    )
    assert completed.returncode == 0, completed.stderr
    (line,) = found(completed)
    assert line["line"] == 4  # only the last snapshot completes the cycle
    assert line["timestamp"] == "2026-09-14T08:21:37.611204Z"
    assert line["assets"] == ["USD", "BTC", "ETH"]
    assert line["legs"] == [
        {"symbol": "BTC/USD", "side": "buy"},
        {"symbol": "ETH/BTC", "side": "buy"},
        {"symbol": "ETH/USD", "side": "sell"},
    ]
    # (1/50000 · 1/0.06 · 3025 · 0.999³ − 1) · 10⁴: the first row of the example's table.
    assert line["edge_bps"] == Decimal("53.11357325")
    assert line["size"] == Decimal(15005)
    assert round(Decimal(str(line["profit"])), 6) == Decimal("42.248036")
    orders = line["orders"]
    assert isinstance(orders, list)
    assert [(o["symbol"], o["side"]) for o in orders] == [
        ("BTC/USD", "buy"),
        ("ETH/BTC", "buy"),
        ("ETH/USD", "sell"),
    ]
    assert orders[0]["qty"] == Decimal("0.3")
    assert orders[0]["limit_price"] == Decimal(50025)


def test_fees_in_quote_are_the_default_and_the_input_includes_them(tmp_path: Path) -> None:
    path = write(tmp_path / "example.jsonl", *EXAMPLE)
    (line,) = found(run("detect", path, "--taker-fee", "0.001", "--out", "-"))
    assert line["size"] == Decimal("15020.005")
    assert round(Decimal(str(line["profit"])), 6) == Decimal("42.302881")


def test_every_verified_frame_of_the_pair_reports_the_cycle_also_one_that_moves_only_depth(
    tmp_path: Path,
) -> None:
    deeper = snapshot("ETH/USD", "3025x2.5 3018x3 3000x9", "3100x1")
    path = write(tmp_path / "a.jsonl", *EXAMPLE, b'{"channel":"heartbeat"}', deeper)
    lines = found(run("detect", path, "--taker-fee", "0.001", "--out", "-"))
    assert [line["line"] for line in lines] == [4, 6]


def test_the_threshold_is_strict(tmp_path: Path) -> None:
    path = write(tmp_path / "example.jsonl", *EXAMPLE)
    (line,) = found(run("detect", path, "--taker-fee", "0", "--out", "-"))
    # 3025 / (50000 · 0.06) − 1 = 83 1/3 bps exactly: a threshold just below lets it through.
    assert str(line["edge_bps"]).startswith("83.33333333333333")
    below = run("detect", path, "--taker-fee", "0", "--min-edge-bps", "83.3333333333", "--out", "-")
    assert len(found(below)) == 1
    above = run("detect", path, "--taker-fee", "0", "--min-edge-bps", "83.3333333334", "--out", "-")
    assert found(above) == []


def test_an_edge_equal_to_the_threshold_does_not_count(tmp_path: Path) -> None:
    # 3030 / (50000 · 0.06) − 1 = 100 bps exactly.
    lines = [*EXAMPLE[:3], snapshot("ETH/USD", "3030x2.5", "3100x1")]
    path = write(tmp_path / "a.jsonl", *lines)
    arguments = ("detect", path, "--taker-fee", "0", "--out", "-", "--min-edge-bps")
    assert found(run(*arguments, "100")) == []
    assert len(found(run(*arguments, "99.999999999999"))) == 1


def test_start_assets_turn_the_cycle_and_leave_out_what_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "example.jsonl", *EXAMPLE)
    (line,) = found(run("detect", path, "--taker-fee", "0", "--start", "eth,usd", "--out", "-"))
    assert line["assets"] == ["ETH", "USD", "BTC"]
    assert found(run("detect", path, "--taker-fee", "0", "--start", "EUR", "--out", "-")) == []


def test_a_cycle_that_minimums_block_is_reported_with_the_reason(tmp_path: Path) -> None:
    lines = [
        instruments(pair("BTC/USD", qty_min=5), pair("ETH/BTC", 4), pair("ETH/USD")),
        *EXAMPLE[1:],
    ]
    path = write(tmp_path / "a.jsonl", *lines)
    (line,) = found(run("detect", path, "--taker-fee", "0.001", "--out", "-"))
    assert "orders" not in line
    assert "BTC/USD" in str(line["blocked"])
    assert "5" in str(line["blocked"])
    assert line["size"] == Decimal("15020.005")


def test_a_wrong_checksum_takes_the_book_out_until_its_next_snapshot(tmp_path: Path) -> None:
    broken = snapshot("ETH/USD", "3025x2.5", "3100x1", checksum=1)
    update = broken.replace(b'"snapshot"', b'"update"')
    path = write(tmp_path / "a.jsonl", *EXAMPLE, broken, update, EXAMPLE[3])
    summary = tmp_path / "s.json"
    completed = run("detect", path, "--taker-fee", "0.001", "--out", "-", "--summary", summary)
    assert [line["line"] for line in found(completed)] == [4, 7]
    told = orjson.loads(summary.read_bytes())
    assert told["checksums"] == {"right": 4, "wrong": 1, "skipped": 1}
    assert told["resyncs"] == 1
    assert told["episodes"] == 2


@pytest.mark.parametrize("form", ["envelopes", "gzip", "zstd", "standard input"])
def test_every_form_of_a_recording_gives_the_same(tmp_path: Path, form: str) -> None:
    plain = run("detect", write(tmp_path / "p", *EXAMPLE), "--taker-fee", "0.001", "--out", "-")
    content = b"\n".join(EXAMPLE) + b"\n"
    if form == "envelopes":
        content = b"".join(
            b'{"t":%d,"src":"public","conn":0,"dir":"rx","m":%s}\n' % (n, line)
            for n, line in enumerate(EXAMPLE)
        )
    packed = {"gzip": gzip.compress, "zstd": zstandard.compress}.get(form, bytes)(content)
    if form == "standard input":
        other = run("detect", "-", "--taker-fee", "0.001", "--out", "-", stdin=content)
    else:
        (tmp_path / "other").write_bytes(packed)
        other = run("detect", tmp_path / "other", "--taker-fee", "0.001", "--out", "-")
    assert other.returncode == 0, other.stderr
    assert other.stdout == plain.stdout


def test_instruments_may_come_from_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_bytes(EXAMPLE[0])
    path = write(tmp_path / "a.jsonl", *EXAMPLE[1:])
    arguments = ("detect", path, "--taker-fee", "0.001", "--out", "-")
    assert [
        line["line"] for line in found(run(*arguments, "--instruments", tmp_path / "i.json"))
    ] == [3]
    without = run(*arguments)
    assert without.returncode == 1
    assert "line 1" in without.stderr
    assert "--instruments FILE" in without.stderr


def test_f38_a_torn_last_line_is_reported_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    path.write_bytes(b"\n".join(EXAMPLE) + b"\n" + EXAMPLE[1][:50])
    completed = run("detect", path, "--taker-fee", "0.001", "--out", "-")
    assert completed.returncode == 0
    assert len(found(completed)) == 1
    assert "line 5 is torn" in completed.stderr


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([*EXAMPLE[:2], EXAMPLE[2][:60], EXAMPLE[3]], "line 3"),
        ([*EXAMPLE[:2], b'[1,{},"book-10","XBT/USD"]', EXAMPLE[3]], "line 3"),
        ([EXAMPLE[0], b'{"t":9,"m":{"channel":"heartbeat"}}', b'{"t":8,"m":{}}'], "line 3"),
        ([b"nothing of the kind", EXAMPLE[0]], "line 1"),
        ([b'{"channel":"heartbeat"}'], "no instruments"),
    ],
    ids=["cut", "older schema", "reordered", "not JSON", "no instruments"],
)
def test_f59_a_recording_that_is_not_one_is_an_exact_error(
    tmp_path: Path, lines: list[bytes], expected: str
) -> None:
    path = write(tmp_path / "bad.jsonl", *lines)
    summary = tmp_path / "s.json"
    completed = run("detect", path, "--summary", summary)
    assert completed.returncode == 1
    assert str(path) in completed.stderr
    assert expected in completed.stderr
    assert "Traceback" not in completed.stderr
    assert not summary.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-file", "--taker-fee", "free"),
        ("x", "--taker-fee", "0.4"),
        ("x", "--min-edge-bps", "nan"),
        ("x", "--start", ","),
        ("x", "--depth", "0"),
        ("x", "--out", "-", "--summary", "-"),
        ("x", "--nonsense"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    completed = run("detect", *arguments)
    assert completed.returncode == 2
    assert "Traceback" not in completed.stderr


def test_an_unreadable_recording_is_exit_code_1() -> None:
    completed = run("detect", "no/such/recording.jsonl")
    assert completed.returncode == 1
    assert "no/such/recording.jsonl: can't be read" in completed.stderr


def test_wrong_settings_are_exit_code_2() -> None:
    completed = run("detect", BTCUSD, ARBITRADE_FEES__TAKER="a lot")
    assert completed.returncode == 2
    assert "fees.taker" in completed.stderr
    assert "ARBITRADE_FEES__TAKER" in completed.stderr


def test_the_fee_option_beats_overrides(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[fees.overrides]\n"BTC/USD" = 0.1\n')
    path = write(tmp_path / "example.jsonl", *EXAMPLE)
    settings = {"ARBITRADE_CONFIG": str(tmp_path), "ARBITRADE_FEES__TAKER": "0.001"}
    assert found(run("detect", path, "--out", "-", **settings)) == []
    given = run("detect", path, "--out", "-", "--taker-fee", "0.001", **settings)
    assert len(found(given)) == 1


def test_help_shows_examples() -> None:
    completed = run("detect", "--help")
    assert completed.returncode == 0
    assert "arbitrade detect recording.jsonl.zst" in completed.stdout


def test_without_a_detector_it_says_that_nothing_was_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "example.jsonl", *EXAMPLE)
    completed = run("detect", path, ARBITRADE_PLUGINS__DISABLED="triangular")
    assert completed.returncode == 0
    assert "no detector is enabled" in completed.stderr


def test_f59_results_before_a_broken_line_are_not_passed_off_as_all(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", *EXAMPLE, b"broken", EXAMPLE[3])
    out = tmp_path / "out.jsonl"
    completed = run("detect", path, "--taker-fee", "0.001", "--out", out)
    assert completed.returncode == 1
    assert "line 5" in completed.stderr
    assert f"{out} has what was found before it" in completed.stderr
    assert len(out.read_text().splitlines()) == 1


def test_word_and_a_colon_name_a_store_and_everything_else_is_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r", *EXAMPLE)
    nobody = run("detect", path, "--out", "shelf:found.csv")
    assert nobody.returncode == 2
    assert "'shelf:found.csv': no enabled plugin keeps opportunities there" in nobody.stderr
    for out in (f"jsonl:{tmp_path / 'named'}", str(tmp_path / "odd:name")):
        assert run("detect", path, "--taker-fee", "0.001", "--out", out).returncode == 0
    kept = [(tmp_path / name).read_bytes() for name in ("named", "odd:name")]
    assert kept[0] == kept[1] != b""
