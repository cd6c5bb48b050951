"""`arbitrade detect` reports what the naive oracle expects: every detection, and no other.

The recordings are synthetic markets, clean ones and rough ones (lost frames, wrong checksums,
changes of precision and status, crossed and one-sided books, amounts beyond a double, odd layouts).
The oracle shares no code with decoder, books or detector, and its numbers are exact fractions.
"""

import json
import shlex
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import pytest
import zstandard
from click.testing import CliRunner

from arbitrade.cli import arbitrade
from arbitrade.hot import INTERPRETED, LOOP, REQUIRED
from arbitrade.hot.finding import find
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade.synthetic.__main__ import main as write_market
from arbitrade.testing.oracle import START_ASSETS, ExpectedDetection, Oracle

CLEAN = MarketSettings(pairs=45, frames=1_500, edge_every=120)
ROUGH = attrs.evolve(CLEAN, pairs=32, frames=2_500, edge_every=150).rough()

DATA = Path(__file__).parents[1] / "data"
BUNDLED = DATA / "synthetic-60-pairs.jsonl.zst"

STAGES = (LOOP, "arbitrade_kraken._hot", "arbitrade_triangular._hot")
MISSING = [reason for name in STAGES if isinstance(reason := find(name), str)]
SAME_OF_BOTH = (
    *("frames", "book_updates", "checksums", "resyncs", "pairs", "cycles"),
    *("detections", "episodes", "by_cycle", "torn_line", "detectors"),
)
"""What a summary tells of the recording, not of how it was replayed."""

TWELVE_DIGITS = Fraction(1, 10**12)

type Row = tuple[Any, ...]


def detect(
    folder: Path, frames: Sequence[bytes], *options: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run the command on these frames, over either hot path; return its lines and its summary."""
    recording = folder / "market.jsonl"
    recording.write_bytes(b"\n".join(frames) + b"\n")
    out, summary = folder / "found.jsonl", folder / "summary.json"
    seen = []
    for is_interpreted in (True, False) if not MISSING else (True,):
        result = CliRunner().invoke(
            arbitrade,
            ["detect", str(recording), "--out", str(out), "--summary", str(summary), *options],
            prog_name="arbitrade",
            env={INTERPRETED: "1" if is_interpreted else None, REQUIRED: None},
        )
        assert result.exit_code == 0, result.output
        told = json.loads(summary.read_text())
        assert told["hot_path"] == ("interpreted" if is_interpreted else "compiled")
        seen.append((out.read_bytes(), {name: told[name] for name in SAME_OF_BOTH}))
    assert seen[-1] == seen[0], "compiled and interpreted differ"
    lines = [json.loads(line, parse_float=Decimal) for line in out.read_text().splitlines()]
    return lines, told


def reported(line: dict[str, Any]) -> Row:
    orders = tuple(
        (one["symbol"], one["side"], Fraction(one["qty"]), Fraction(one["limit_price"]))
        for one in line.get("orders", ())
    )
    assert bool(orders) != bool(line.get("blocked")), "either orders or a reason"
    legs = tuple((leg["symbol"], leg["side"]) for leg in line["legs"])
    numbers = tuple(Fraction(line[name]) for name in ("edge_bps", "size", "profit"))
    return (line["line"], tuple(line["assets"]), legs, line["timestamp"], orders, numbers)


def wanted(one: ExpectedDetection) -> Row:
    numbers = (one.edge_bps, one.size, one.profit)
    return (one.line, one.assets, one.legs, one.timestamp, one.orders, numbers)


def assert_equal(lines: Sequence[dict[str, Any]], expected: Sequence[ExpectedDetection]) -> None:
    ours, theirs = sorted(map(reported, lines)), sorted(map(wanted, expected))
    assert [row[:4] for row in ours] == [row[:4] for row in theirs]
    for mine, right in zip(ours, theirs, strict=True):
        assert mine[4] == right[4], mine
        for number, exact in zip(mine[5], right[5], strict=True):
            assert abs(number - exact) <= abs(exact) * TWELVE_DIGITS, mine


def compare(
    folder: Path, settings: MarketSettings, oracle: Oracle, *options: str
) -> list[ExpectedDetection]:
    market = SyntheticMarket(settings)
    frames = list(market.frames())
    expected = list(oracle.read(frames))
    lines, summary = detect(folder, frames, *options)
    assert_equal(lines, expected)
    assert summary["detections"] == len(expected)
    assert summary["checksums"] == {
        "right": oracle.right,
        "wrong": oracle.wrong,
        "skipped": oracle.skipped,
    }
    return expected


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARBITRADE_CONFIG", str(tmp_path))


@pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING) or "compiled")
def test_these_recordings_are_replayed_compiled_too() -> None:
    """Skipped where nothing is compiled: then all of them run interpreted only."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clean_market_is_detected_to_the_last_cycle(tmp_path: Path, seed: int) -> None:
    settings = attrs.evolve(CLEAN, seed=seed)
    oracle = Oracle(FeeSchedule(Decimal("0.0040")))
    assert len(compare(tmp_path, settings, oracle)) > 50
    assert oracle.wrong == oracle.skipped == 0


@pytest.mark.parametrize("seed", [11, 12, 13, 14, 15])
def test_rough_market_is_detected_to_the_last_cycle(tmp_path: Path, seed: int) -> None:
    settings = attrs.evolve(ROUGH, seed=seed)
    oracle = Oracle(FeeSchedule(Decimal("0.0040")))
    assert len(compare(tmp_path, settings, oracle)) > 50
    assert oracle.wrong > 0
    assert oracle.skipped > 0


@pytest.mark.parametrize("convention", FeeConvention)
def test_every_fee_convention_is_detected_alike(
    tmp_path: Path, convention: FeeConvention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRADE_FEES__CHARGED_IN", convention.value)
    fees = FeeSchedule(Decimal("0.0026"), charged_in=convention)
    settings = attrs.evolve(ROUGH, seed=21, frames=1_000, taker_fee=0.0026)
    assert compare(tmp_path, settings, Oracle(fees), "--taker-fee", "0.0026")


def test_near_misses_and_blocked_cycles_are_detected_alike(tmp_path: Path) -> None:
    """Below zero even the first unit loses: size 0, no orders, and it is reported so."""
    settings = attrs.evolve(ROUGH, seed=31, pairs=14, frames=500)
    oracle = Oracle(FeeSchedule(Decimal("0.0040")), minimum_edge_bps=Decimal(-140))
    expected = compare(tmp_path, settings, oracle, "--min-edge-bps", "-140")
    assert any(one.size == 0 for one in expected)
    assert any(not one.orders for one in expected)


def test_free_trading_finds_cycles_whose_lots_and_minimums_block_them(tmp_path: Path) -> None:
    settings = attrs.evolve(
        ROUGH, seed=32, frames=600, taker_fee=0.0, edge_bps=(0.01, 3.0), liquidity=0.001
    )
    oracle = Oracle(FeeSchedule(Decimal(0)))
    expected = compare(tmp_path, settings, oracle, "--taker-fee", "0")
    assert any(one.orders for one in expected)
    assert any(one.size and not one.orders for one in expected)


def test_other_start_assets_turn_the_same_cycles(tmp_path: Path) -> None:
    settings = attrs.evolve(CLEAN, seed=4, frames=800)
    starts = ("EUR", "USD")
    oracle = Oracle(FeeSchedule(Decimal("0.0040")), start_assets=starts)
    expected = compare(tmp_path, settings, oracle, "--start", ",".join(starts))
    assert expected
    assert {one.assets[0] for one in expected} <= set(starts)
    assert START_ASSETS[0] in {one.assets[0] for one in expected}


def test_threshold_leaves_out_what_is_not_strictly_above_it(tmp_path: Path) -> None:
    settings = attrs.evolve(CLEAN, seed=5, frames=800)
    oracle = Oracle(FeeSchedule(Decimal("0.0040")), minimum_edge_bps=Decimal("12.5"))
    expected = compare(tmp_path, settings, oracle, "--min-edge-bps", "12.5")
    assert expected
    assert all(one.edge_bps > Fraction(25, 2) for one in expected)


def test_deeper_books_are_sized_through_all_levels_held(tmp_path: Path) -> None:
    settings = attrs.evolve(ROUGH, seed=6, frames=800, depth=25)
    oracle = Oracle(FeeSchedule(Decimal("0.0040")))
    assert compare(tmp_path, settings, oracle)


def content(recording: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(recording.read_bytes())


def test_bundled_recording_is_what_its_documented_command_writes(tmp_path: Path) -> None:
    text = (DATA / "SOURCES.md").read_text(encoding="utf-8")
    (command,) = (
        line.split("arbitrade.synthetic ")[1]
        for line in text.splitlines()
        if line.startswith("    python -m") and BUNDLED.name in line
    )
    arguments = shlex.split(command)
    again = tmp_path / BUNDLED.name
    arguments[arguments.index("--out") + 1] = str(again)
    assert write_market(arguments) == 0
    assert content(again) == content(BUNDLED)


def test_bundled_recording_is_detected_to_the_last_cycle(tmp_path: Path) -> None:
    """The first half of it: the oracle takes two milliseconds a frame."""
    frames = content(BUNDLED).splitlines()[:2_000]
    expected = list(Oracle(FeeSchedule(Decimal("0.0040"))).read(frames))
    lines, summary = detect(tmp_path, frames)
    assert_equal(lines, expected)
    assert summary["checksums"]["wrong"] == 0
    assert len(expected) > 100
