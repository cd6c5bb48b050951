"""The benchmarks run and say what they found.  Nothing here looks at how fast anything is."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from arbitrade.synthetic import MarketSettings, SyntheticMarket

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"
KINDS = {"compiled", "interpreted"}


def run(script: str, *arguments: object, code: int = 0) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_hot_path_times_both_engines_the_naive_one_and_detect_and_all_end_in_the_same_prices():
    found = json.loads(run("hot_path.py", "--pairs", 20, "--frames", 400, "--replays", 1, "--json"))
    assert set(found["frames_per_s"]) <= KINDS
    assert "interpreted" in found["frames_per_s"]
    assert set(found["replays"]) == set(found["frames_per_s"])
    assert len(set(found["states"].values())) == 1
    assert all(kind["wrong"] == 0 for kind in found["checksums"].values())


def test_hot_path_replays_a_recording_that_is_named(tmp_path):
    recording = tmp_path / "market.jsonl"
    settings = MarketSettings(pairs=12, frames=100)
    recording.write_bytes(b"".join(frame + b"\n" for frame in SyntheticMarket(settings).frames()))
    printed = run(
        "hot_path.py",
        *("--pairs", 12, "--frames", 100, "--rounds", 1, "--replays", 1, "--recording", recording),
    )
    assert "| **interpreted, whole path** |" in printed
    assert "| arbitrade detect |" in printed


def test_growth_prints_a_table_for_pairs_cycles_depth_and_memory():
    printed = run(
        "growth.py",
        *("--frames", 200, "--rounds", 1, "--pairs", 30, "--densities", 1),
        *("--depths", 25, "--deep-pairs", 8, "--memory-frames", 400),
    )
    for title in ("**Pairs**", "**Cycles, 130 pairs**", "**Depth, 8 pairs**", "**Memory, 30 pairs"):
        assert title in printed


def test_risk_times_every_rule_of_core_and_a_refusal_with_its_flips():
    found = json.loads(run("risk.py", "--rounds", 3, "--json"))
    assert {"balance", "minimum_edge", "trading_state"} < set(found["each_us"])
    assert all(micros > 0 for part in found.values() for micros in part.values())


def test_guard_keeps_numbers_and_is_content_with_them(tmp_path):
    numbers = tmp_path / "guard.toml"
    small = ("--pairs", 12, "--frames", 50, "--turns", 3, "--numbers", numbers)
    run("guard.py", *small, "--update")
    kept = tomllib.loads(numbers.read_text(encoding="utf-8"))
    assert kept["minimum"].keys() == kept["measured"].keys() <= KINDS
    # So few frames say nothing about speed: ask for less than was measured.
    numbers.write_text("[minimum]\ncompiled = 0.001\ninterpreted = 0.001\n", encoding="utf-8")
    assert "kept" in run("guard.py", *small)


def test_guard_fails_and_says_what_to_do_when_a_ratio_is_below_its_minimum(tmp_path):
    numbers = tmp_path / "guard.toml"
    numbers.write_text("[minimum]\ncompiled = 1e6\ninterpreted = 1e6\n", encoding="utf-8")
    small = ("--pairs", 12, "--frames", 50, "--turns", 3, "--numbers", numbers)
    printed = run("guard.py", *small, code=1)
    assert "TOO SLOW" in printed
    assert "nox -s guard -- --update" in printed


def test_guard_without_numbers_says_how_to_make_them(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "guard.py"), "--numbers", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--update" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_numbers_kept_leave_room_for_noise_but_not_for_half_as_fast():
    kept = tomllib.loads((BENCHMARKS / "guard.toml").read_text(encoding="utf-8"))
    assert set(kept["minimum"]) == KINDS
    for kind, measured in kept["measured"].items():
        assert 0.67 < kept["minimum"][kind] / measured < 0.85


def test_our_own_side_of_the_comparison_with_peers_runs_without_any_peer(tmp_path):
    printed = run(
        "peers/run.py",
        *("--pairs", 12, "--frames", 300, "--rounds", 1, "--environments", tmp_path, "--peers"),
    )
    assert "arbitrade, interpreted" in printed
    assert "checked, 0 wrong" in printed


@pytest.mark.parametrize("name", ["peers", "growth"])
def test_the_document_has_the_places_the_tables_are_written_to(name):
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.count(f"<!-- {name}: begin") == text.count(f"<!-- {name}: end -->") == 1


def test_journal_times_both_policies_and_the_disk_alone():
    found = json.loads(run("journal.py", "--rounds", 1, "--seconds", 0.1, "--json"))
    assert found


def test_tick_to_order_trades_with_and_without_fsync():
    found = json.loads(
        run("tick_to_order.py", "--rounds", 1, "--seconds", 3, "--rate", 400, "--json")
    )
    assert set(found) == {"never", "always"}
    for rounds in found.values():
        assert rounds[0]["figures"]["tick_to_decision"]["count"] >= 0
