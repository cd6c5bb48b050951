"""`arbitrade simulate` as a process: its first line, its end, its errors."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from click.testing import CliRunner

from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.simulator.command import simulate_command
from arbitrade_kraken.simulator.probe import calling, probing


async def start(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arbitrade", "simulate", *arguments, stdout=PIPE, stderr=PIPE
    )


async def test_the_first_line_is_one_json_object_and_everything_listens_by_then():
    process = await start("--json", "--port", "0", "--symbols", "BTC/USD,ETH/USD", "--for", "60s")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = json.loads(await process.stdout.readline())
        assert set(line) == {"rest", "ws", "ws_auth", "control", "key", "secret"}
        assert line["ws"].startswith("ws://")
        assert line["ws"].endswith("/v2")
        assert line["ws_auth"].endswith("/v2")
        async with calling(line["rest"], line["key"], line["secret"]) as rest:
            assert set((await rest.public("AssetPairs"))["result"]) == {"XXBTZUSD", "XETHZUSD"}
            assert "ZUSD" in (await rest.private("Balance"))["result"]
        for url in (line["ws"], line["ws_auth"]):
            async with probing(url) as probe:
                await probe.update("status")
        async with probing(line["ws"]) as probe:
            await probe.ask("subscribe", channel="book", symbol=["BTC/USD"])
            await probe.update("book", "snapshot")
            await probe.update("book", "update")  # the market moves by itself
            process.send_signal(signal.SIGTERM)
            await probe.until(lambda: probe.is_over)
    finally:
        if process.returncode is None and sys.platform == "win32":
            process.kill()
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"moves of the market" in err
    assert b"Traceback" not in err


async def test_it_ends_by_itself_in_good_order():
    process = await start("--for", "200ms", "--pairs", "5")
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"nothing here is real" in out
    assert b"API key" in out


async def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await start("--port", str(port), "--pairs", "3", "--for", "1s")
        async with asyncio.timeout(PATIENCE_S):
            _, err = await process.communicate()
    assert process.returncode == 1
    assert str(port).encode() in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--symbols", "BTC/XYZ"), b"BTC/XYZ"),
        (("--pairs", "3", "--symbols", "BTC/USD"), b"choose one"),
        (("--for", "soon"), b"soon"),
        (("--balances", "USD=1,EUR=much"), b"EUR=much"),
        (("--pairs", "3", "--balances", "XYZ=1"), b"XYZ"),
        (("--pairs", "99999"), b"99999"),
    ],
)
async def test_wrong_arguments_end_with_2_and_say_which(arguments: tuple[str, ...], word: bytes):
    process = await start(*arguments)
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()
    assert process.returncode == 2, err
    assert word in err
    assert b"Traceback" not in err


async def test_a_recording_drives_the_market(tmp_path: Path):
    pair = (
        '{"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","qty_precision":8,'
        '"qty_increment":1e-08,"price_precision":1,"cost_precision":5,"cost_min":0.5,'
        '"price_increment":0.1,"qty_min":0.0001}'
    )
    recording = tmp_path / "session.jsonl"
    recording.write_text(
        '{"channel":"instrument","type":"snapshot","data":{"assets":[{"id":"BTC","status":'
        '"enabled","precision":10},{"id":"USD","status":"enabled","precision":4}],"pairs":['
        f"{pair}]}}}}\n"
        '{"t":1,"src":"public","conn":0,"dir":"rx","m":{"channel":"book","type":"snapshot","data":'
        '[{"symbol":"BTC/USD","bids":[{"price":45283.5,"qty":0.10000000}],"asks":[{"price":45285.2,'
        '"qty":0.00100000}],"checksum":1}]}}\n'
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":45284.0,'
        '"qty":2.00000000}],"asks":[],"checksum":1}]}\n'
    )
    process = await start("--json", "--from", str(recording), "--rate", "50", "--for", "60s")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = json.loads(await process.stdout.readline())
            async with calling(line["rest"]) as rest:
                best = ""
                while best != "45284.00000":
                    depth = (await rest.public("Depth", pair="BTC/USD"))["result"]["BTC/USD"]
                    best = depth["bids"][0][0] if depth["bids"] else ""
    finally:
        process.kill()
        await process.communicate()


def test_the_help_leads_a_stranger_to_a_fill():
    text = CliRunner().invoke(simulate_command, ["--help"]).output
    for word in ("curl", "ccxt", "create_order", "fetch_my_trades", "/control/faults", "--json"):
        assert word in text
