import asyncio
import sys

import pytest

from arbitrade.errors import ConfigError
from arbitrade.process import loops

FAST = "winloop" if sys.platform == "win32" else "uvloop"


async def which() -> str:
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_asyncio_s_own_loop_is_there_for_the_asking():
    assert loops.run(which(), "asyncio") == "asyncio"


@pytest.mark.parametrize("name", ["auto", FAST])
def test_the_platform_s_fast_loop_is_used_where_it_is_installed(name):
    pytest.importorskip(FAST, reason="comes with the extra `fast`")

    assert loops.run(which(), name) == FAST


def test_auto_is_asyncio_s_own_loop_where_nothing_faster_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, FAST, None)

    assert loops.run(which()) == "asyncio"


@pytest.mark.parametrize("name", ["uvloop", "winloop"])
def test_a_loop_that_is_not_installed_is_refused_by_name(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ConfigError, match=f"runtime.event_loop: '{name}' is not installed"):
        loops.run(which(), name)


@pytest.mark.parametrize("name", ["asyncio", "auto"])
def test_what_the_coroutine_raises_comes_out(name):
    async def fail() -> None:
        raise KeyError(name)

    with pytest.raises(KeyError):
        loops.run(fail(), name)
