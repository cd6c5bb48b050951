"""Real traffic that others recorded, through the commands a user has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from arbitrade.testing.patience import PATIENCE_S


def shared(name: str) -> Path:
    folder = os.environ.get("ARBITRADE_SHARED_DATA")
    if folder is None:
        pytest.skip(f"ARBITRADE_SHARED_DATA is not set: {name} isn't here")
    return Path(folder) / "kraken" / name


def run(*arguments: str | Path) -> str:
    """Run a command that has to succeed; return what it wrote to standard output."""
    completed = subprocess.run(
        [sys.executable, "-m", "arbitrade", *map(str, arguments)],
        capture_output=True,
        timeout=PATIENCE_S,
        env={**os.environ, "ARBITRADE_CONFIG": str(Path(__file__).parent)},
        check=False,
    )
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode()


def instruments(folder: Path, symbol: str, price_precision: int, quantity_precision: int) -> Path:
    """Write what the data's sources say of a pair; its minimums don't matter here."""
    base, quote = symbol.split("/")
    pair = {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "status": "online",
        "price_precision": price_precision,
        "price_increment": 10.0**-price_precision,
        "qty_precision": quantity_precision,
        "qty_increment": 10.0**-quantity_precision,
        "qty_min": 0,
        "cost_min": 0,
    }
    path = folder / "instruments.json"
    data = {"assets": [], "pairs": [pair]}
    path.write_text(json.dumps({"channel": "instrument", "type": "snapshot", "data": data}))
    return path


def checksums(*arguments: str | Path) -> dict[str, int]:
    summary = orjson.loads(run("detect", *arguments, "--summary", "-"))
    told: dict[str, int] = summary["checksums"]
    return told


def test_btcusd_depth_10_of_july_2023() -> None:
    told = checksums(shared("ws-v2-btcusd-d10-20230730.jsonl"))
    assert told == {"right": 510, "wrong": 0, "skipped": 0}


def test_ethbtc_depth_10_of_august_2026_with_six_decimals(tmp_path: Path) -> None:
    named = instruments(tmp_path, "ETH/BTC", 6, 8)
    told = checksums(shared("ws-v2-session-ethbtc-d10-20260826.ndjson"), "--instruments", named)
    assert told == {"right": 2, "wrong": 0, "skipped": 0}


def test_gstusd_snapshot(tmp_path: Path) -> None:
    named = instruments(tmp_path, "GST/USD", 3, 8)
    told = checksums(shared("ws-v2-book-snapshot-gstusd-d10.json"), "--instruments", named)
    assert told == {"right": 1, "wrong": 0, "skipped": 0}


def test_minagbp_depth_25_of_august_2026_across_its_resubscription(tmp_path: Path) -> None:
    named = instruments(tmp_path, "MINA/GBP", 4, 8)
    capture = shared("ws-v2-session-minagbp-d25-20260818.ndjson")
    run("convert", capture, tmp_path / "mina.jsonl", "--instruments", named)
    assert checksums(tmp_path / "mina.jsonl") == {"right": 19, "wrong": 0, "skipped": 0}


def test_the_real_list_of_pairs_names_the_instruments_of_a_recording(tmp_path: Path) -> None:
    """The January 2026 answer has BTC/USD with the same precisions as July 2023."""
    recording = shared("ws-v2-btcusd-d10-20230730.jsonl").read_bytes().split(b"\n", 1)[1]
    (tmp_path / "bare.jsonl").write_bytes(recording)
    told = checksums(
        tmp_path / "bare.jsonl", "--instruments", shared("rest-assetpairs-20260112.json")
    )
    assert told == {"right": 510, "wrong": 0, "skipped": 0}


def test_of_the_2430_directed_cycles_of_january_2026_six_have_no_start_asset(
    tmp_path: Path,
) -> None:
    (tmp_path / "quiet.jsonl").write_text('{"channel":"heartbeat"}\n')
    pairs = shared("rest-assetpairs-20260112.json")
    summary = orjson.loads(
        run("detect", tmp_path / "quiet.jsonl", "--instruments", pairs, "--summary", "-")
    )
    assert summary["cycles"] == 2430 - 6
