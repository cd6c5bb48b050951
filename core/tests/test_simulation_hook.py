"""Simulated venues: how a plugin hands one in, and how its addresses get into the settings."""

from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path

import attrs
import pytest

from arbitrade import Secret, SettingsSection, hookimpl, setting
from arbitrade.config import Settings
from arbitrade.config.load import load_settings
from arbitrade.config.show import origin_in
from arbitrade.errors import ConfigError, PluginError, UsageError
from arbitrade.plugins import PluginRegistry
from arbitrade.protocols import Flow

SETTINGS = Settings()
CANARY = "canary-71fd-do-not-show"


@attrs.frozen
class Toy:
    name: str = "exchange"

    @asynccontextmanager
    async def running(self, *, seed, pairs, rate, recording=None, balances=None, account):
        yield None


class Forgetful(Toy):
    """Takes no account."""

    def running(self, *, seed, pairs, rate, recording=None, balances=None): ...


def registry_of(simulation: object) -> PluginRegistry:
    class Handmade:
        @hookimpl
        def arbitrade_make_simulation(self, name):
            return simulation if name == "exchange" else None

    return PluginRegistry.of({"exchange": Handmade()})


def test_simulation_comes_from_the_plugin_that_knows_the_name():
    registry = registry_of(Toy())
    assert registry.make_simulation(SETTINGS, "exchange") == Toy()
    assert registry.contributed("exchange") == {"simulations": ("exchange",)}


def test_unknown_venue_can_not_be_simulated_and_those_that_can_are_named():
    with pytest.raises(UsageError, match=r"'moon'.*no enabled plugin simulates it.*exchange"):
        registry_of(Toy()).make_simulation(SETTINGS, "moon")


def test_simulation_that_misses_an_argument_is_refused_when_it_is_handed_in():
    with pytest.raises(PluginError, match=r"Forgetful that is no Simulation.*account=…"):
        registry_of(Forgetful()).make_simulation(SETTINGS, "exchange")


def test_simulation_under_another_name_is_refused():
    with pytest.raises(PluginError, match="one called 'other'"):
        registry_of(Toy("other")).make_simulation(SETTINGS, "exchange")


def test_flow_closes_with_what_came_less_what_went():
    # 100 + 20 − 5 + 3.25 + 0.5 − 1.1 = 117.65
    flow = Flow(D(100), D(20), D(5), D("3.25"), D("1.1"), D("0.5"))
    assert flow.closing == D("117.65")


# ── its addresses and keys, laid over the settings ───────────────────────────────────────────────


@attrs.frozen
class Access:
    key: Secret | None = setting(None, "Key.")
    url: str = setting("https://real", "Address.")


ACCESS = SettingsSection("exchange", Access)


def load(tmp_path: Path, environ: dict[str, str] | None = None, **values: object) -> Settings:
    return load_settings(
        [ACCESS], folder=tmp_path, environ=environ or {}, overrides={"exchange": values}
    )


def test_secret_among_overrides_reaches_the_plugin_and_is_shown_nowhere(tmp_path):
    settings = load(tmp_path, key=Secret(CANARY), url="http://127.0.0.1:1")
    section = settings.section("exchange", Access)
    assert section == Access(Secret(CANARY), "http://127.0.0.1:1")
    assert CANARY not in repr(settings) + repr(settings.sections) + repr(settings.structured)
    assert origin_in(settings, "exchange.key") == "command line"


@pytest.mark.parametrize(
    "environ",
    [
        {"ARBITRADE_EXCHANGE__KEY": "of-the-real-venue"},
        {"ARBITRADE_EXCHANGE__KEY_FILE": "/nowhere/key"},
        {},
    ],
)
def test_secret_among_overrides_beats_every_other_place(tmp_path, environ):
    (tmp_path / ".secrets.toml").write_text('[exchange]\nKey_File = "/nowhere/else"\n')
    if "ARBITRADE_EXCHANGE__KEY_FILE" not in environ and environ:
        (tmp_path / ".secrets.toml").write_text('[exchange]\nkey = "of-the-file"\n')
    settings = load(tmp_path, environ, key=Secret(CANARY))
    assert settings.section("exchange", Access).key == Secret(CANARY)
    assert origin_in(settings, "exchange.key") == "command line"


def test_overrides_that_do_not_fit_are_named_without_the_secret(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, key=Secret(CANARY), url=5, colour=Secret(CANARY))
    assert "exchange.url" in str(refused.value)
    assert "exchange.colour" in str(refused.value)
    assert CANARY not in str(refused.value)
