"""What an operator is told when a run can't be had as asked for: subject, value, next step."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arbitrade.errors import UsageError
from arbitrade.testing.patience import PATIENCE_S

KEYS = {
    "ARBITRADE_KRAKEN__API_KEY": "not-a-real-key",
    "ARBITRADE_KRAKEN__API_SECRET": "bm90IGEgcmVhbCBzZWNyZXQ=",
}
NO_DATABASE = {"ARBITRADE_DATABASE__DSN": "postgresql://bot:pass-canary@127.0.0.1:1/bot"}


def arbitrade(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ARBITRADE_")}
    return subprocess.run(
        [sys.executable, "-m", "arbitrade", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=folder,
        env={
            **kept,
            "HOME": str(folder / "home"),
            "USERPROFILE": str(folder / "home"),
            "ARBITRADE_SECRETS__KEYRING": "false",
            "ARBITRADE_RUNTIME__FOLDER": str(folder / "state"),
            **environment,
        },
    )


LIVE = ("run", "--mode", "live", "--for", "1s")
CASES = [
    pytest.param(
        (*LIVE, "--arm", "main"), {}, 2,
        ["kraken.api_key: not set", "kraken.api_secret: not set", "arbitrade secrets set"],
        id="live without keys",
    ),
    pytest.param(
        LIVE, KEYS, 2, ["--mode live: sends real orders", "--arm main"], id="live without arming"
    ),
    pytest.param(
        (*LIVE, "--arm", "other"), KEYS, 2, ["--arm other", "called main", "nothing was started"],
        id="live armed for another account",
    ),
    pytest.param(
        (*LIVE, "--arm", "main"), {**KEYS, "ARBITRADE_KRAKEN__API_SECRET": "cut short"}, 2,
        ["kraken.api_secret: not base64", "copy the private key"],
        id="a secret that was cut short",
    ),
    pytest.param(
        (*LIVE, "--arm", "main"), {**KEYS, **NO_DATABASE}, 1,
        ["postgresql://bot@127.0.0.1:1/bot", "can't be reached", "check that it runs"],
        id="live without its database",
    ),
    pytest.param(
        ("run", "--for", "1s"),
        {"ARBITRADE_RISK__MAXIMUM_NOTIONAL": "lots", "ARBITRADE_EXECUTION__DEADLINE_MS": "3"}, 2,
        ["execution.deadline_ms: 3 is below 500", "risk.maximum_notional: 'lots'"],
        id="two wrong settings, told at once",
    ),
    pytest.param(
        ("demo", "--for", "1s"), {"ARBITRADE_EXECUTION__EXECUTOR": "quantum"}, 1,
        ["execution.executor", "'quantum'", "sequential, parallel and observe"],
        id="an executor nobody has",
    ),
    pytest.param(
        ("journal", "check"), {}, 2, ["no journal yet", "runtime.folder"], id="no journal yet"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "environment", "code", "words"), CASES)
def test_a_run_that_cannot_be_had_says_what_why_and_what_next(
    tmp_path, arguments, environment, code, words
):
    result = arbitrade(tmp_path, *arguments, **environment)
    assert result.returncode == code, result.stderr
    assert [word for word in words if word not in result.stderr] == []
    assert "Traceback" not in result.stderr
    assert "canary" not in result.stderr


async def test_a_second_bot_on_the_account_is_refused_and_the_first_one_goes_on(bench):
    async with bench.running() as bot:
        await bot.until_more_cycles(1)
        elsewhere = {"runtime": {"folder": str(bench.folder / "elsewhere")}}
        with pytest.raises(UsageError, match="already traded by"):
            await bench.make_session(elsewhere).run()
        await bot.until_more_cycles(1)
    await bench.assert_whole(bot)


async def test_two_operators_at_once_both_get_an_answer_and_the_first_reason_stays(bench):
    async with bench.running() as bot:
        await bot.until_more_cycles(1)
        state = {"ARBITRADE_RUNTIME__FOLDER": str(bot.folder)}
        results = await asyncio.gather(
            *(
                asyncio.to_thread(arbitrade, bench.folder, "halt", "reason", name, **state)
                for name in ("one", "two")
            )
        )
        assert [result.returncode for result in results] == [0, 0], results
        assert bot.halt_reason in ("reason one", "reason two")
        shown = await asyncio.to_thread(arbitrade, bench.folder, "status", **state)
        assert bot.halt_reason in shown.stdout
        flattened = await asyncio.to_thread(
            arbitrade, bench.folder, "resume", "--yes", "--reason", "checked", **state
        )
        assert flattened.returncode == 0, flattened.stderr
        await bot.until_more_cycles()
    await bench.assert_whole(bot)
