"""Recordings of commit 2ea1949 replay on today's code to the decisions which it made."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from kept import DATA, FIGURES, RECORDINGS

from arbitrade.hot import INTERPRETED, LOOP
from arbitrade.hot.finding import find

SYNTHETIC = Path(__file__).parents[1] / "data" / "synthetic-60-pairs.jsonl.zst"
STAGES = (LOOP, "arbitrade_kraken._hot", "arbitrade_triangular._hot")
MISSING = [reason for name in STAGES if isinstance(reason := find(name), str)]


@pytest.fixture(params=["interpreted", "compiled"])
def hot_path(request: pytest.FixtureRequest) -> str:
    """Return what the environment says of the hot path."""
    if request.param == "interpreted":
        return "1"
    if MISSING or os.environ.get(INTERPRETED) == "1":
        pytest.skip("; ".join(MISSING) or f"{INTERPRETED}=1")
    return ""


def arbitrade(folder: Path, hot_path: str, *arguments: str | Path) -> bytes:
    """Run the command line without settings; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARBITRADE_")}
    completed = subprocess.run(
        [sys.executable, "-m", "arbitrade", *map(str, arguments)],
        env={**kept, "ARBITRADE_CONFIG": str(folder), INTERPRETED: hot_path},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_decision_is_made_again(name: str, hot_path: str, tmp_path: Path) -> None:
    """Settings, plugins and limits that were swapped, fees, lost sockets and open cycles included.

    A decision that is to be another from now on breaks this.  Then the figures can't be kept, but
    the recording must still be read: say in the test what it differs in, and since when.
    """
    path = DATA / f"{name}.jsonl.zst"
    verdict = orjson.loads(arbitrade(tmp_path, hot_path, "replay", path, "--json"))
    assert verdict["divergence"] is None
    assert {key: verdict[key] for key in RECORDINGS[name]} == RECORDINGS[name]


def test_detect_sees_what_it_saw(hot_path: str, tmp_path: Path) -> None:
    out = tmp_path / "sightings.jsonl"
    arbitrade(tmp_path, hot_path, "detect", SYNTHETIC, "--out", out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert digest == FIGURES["detect"]["sightings_sha256"]
