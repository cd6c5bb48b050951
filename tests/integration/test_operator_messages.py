"""What an operator is told when something is not as it should be: subject, value, next step."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from arbitrade.testing.patience import PATIENCE_S

BTCUSD = Path(__file__).parents[1] / "data" / "btcusd-d10-20230730.jsonl"


@pytest.fixture
def nobody() -> str:
    """Return the address of a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{probe.getsockname()[1]}/v2"


def run(
    folder: Path, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "arbitrade", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("ARBITRADE_")},
            "ARBITRADE_SECRETS__KEYRING": "false",
            **environment,
        },
    )


@pytest.mark.parametrize("name", ["detect", "record"])
def test_a_venue_nobody_has_is_wrong_usage_and_says_which_there_are(
    tmp_path: Path, name: str, nobody: str
) -> None:
    command = [name, BTCUSD] if name == "detect" else [name, "--for", "1s", "--url", nobody]
    for result in (
        run(tmp_path, *command, "--venue", "krakn"),
        run(tmp_path, *command, ARBITRADE_VENUE="krakn"),
    ):
        assert result.returncode == 2
        assert (
            result.stderr == "Error: venue 'krakn': no enabled plugin has it; "
            "installed and enabled: kraken\n"
        )


def test_recording_nothing_is_a_failure_and_says_where_to_look(tmp_path: Path, nobody: str) -> None:
    result = run(tmp_path, "record", "--url", nobody, "--for", "300ms")
    assert result.returncode == 1
    assert "can't be reached" in result.stderr
    assert "Error: kraken: nothing was recorded in 0.3 s, no frame came" in result.stderr
    assert "--url" in result.stderr


def test_a_service_that_cannot_start_says_why_without_a_traceback(
    tmp_path: Path, nobody: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(
            tmp_path,
            *("record", "--url", nobody, "--for", "1s"),
            ARBITRADE_WEB__ENABLED="true",
            ARBITRADE_WEB__PORT=str(port),
        )
    assert f"web.port: can't listen on 127.0.0.1 port {port}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="folders below files fail differently")
def test_a_folder_that_cannot_be_made_is_told_before_connecting(
    tmp_path: Path, nobody: str
) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path, "record", "--url", nobody, "--for", "20s", "--folder", "file/below")
    assert result.returncode == 1
    assert (
        result.stderr
        == "Error: file/below: can't be made (Not a directory); choose another folder\n"
    )


@pytest.mark.parametrize("place", ["no/such/folder.json", "."])
def test_a_summary_that_cannot_be_written_is_told_before_replaying(
    tmp_path: Path, place: str
) -> None:
    result = run(tmp_path, "detect", BTCUSD, "--summary", place)
    assert result.returncode == 2
    assert result.stderr.startswith(f"Error: --summary {place}: ")
    assert "frames" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "market.jsonl"], "--out market.jsonl: is RECORDING too"),
        (["--summary", "./market.jsonl"], "--summary ./market.jsonl: is RECORDING too"),
        (["--out", "link.jsonl"], "--out link.jsonl: is RECORDING too"),
        (["--out", "x.json", "--summary", "x.json"], "--summary x.json: is --out too"),
    ],
)
def test_a_recording_is_never_written_over(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    recording = tmp_path / "market.jsonl"
    recording.write_bytes(BTCUSD.read_bytes())
    if "link.jsonl" in arguments:
        if sys.platform == "win32":
            pytest.skip("links need a privilege on Windows")
        (tmp_path / "link.jsonl").symlink_to(recording)
    result = run(tmp_path, "detect", recording.name, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert recording.read_bytes() == BTCUSD.read_bytes()


def test_results_may_all_go_nowhere(tmp_path: Path) -> None:
    result = run(tmp_path, "detect", BTCUSD, "--out", os.devnull, "--summary", os.devnull)
    assert result.returncode == 0


def test_instruments_that_are_none_are_named_by_their_file(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_bytes(b"\x00\xff binary")
    result = run(tmp_path, "detect", BTCUSD, "--instruments", "i.json")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: --instruments i.json: ")


def test_start_assets_that_no_pair_has_are_pointed_out(tmp_path: Path) -> None:
    result = run(tmp_path, "detect", BTCUSD, "--start", "XYZ")
    assert result.returncode == 0
    assert "No cycle: 1 pair" in result.stderr
    assert "--start" in result.stderr


def test_secrets_in_the_examples_are_secrets_there_are(tmp_path: Path) -> None:
    known = {line.split()[0] for line in run(tmp_path, "secrets", "list").stdout.splitlines()}
    for command in ("", "set", "remove"):
        text = run(tmp_path, "secrets", *([command] if command else []), "--help").stdout
        named = set(re.findall(r"secrets (?:set|remove) (\w+\.\w+)", text))
        assert named
        assert named <= known
