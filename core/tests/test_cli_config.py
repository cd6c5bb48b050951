"""`arbitrade config`: what the user sees, on which stream, with which exit code."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import attrs
import pytest
from click.testing import CliRunner, Result

from arbitrade import Secret, SettingsSection, hookimpl
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.plugins import PluginRegistry

CANARY = "canary-40ce-do-not-show"


@attrs.frozen
class Exchange:
    """A venue that needs a key."""

    url: str = "wss://exchange"
    api_key: Secret | None = None


def exchange_plugin() -> ModuleType:
    module = ModuleType("exchange_plugin")

    @hookimpl
    def arbitrade_register_settings() -> Iterable[SettingsSection]:
        return [SettingsSection("exchange", Exchange)]

    vars(module)["arbitrade_register_settings"] = arbitrade_register_settings
    return module


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command as `main` does, with one plugin, settings from `tmp_path`, no keyring."""
    monkeypatch.setenv("ARBITRADE_SECRETS__KEYRING", "false")

    def run(*args: str, stdin: str | None = None) -> Result:
        line = CommandLine(tmp_path)
        line.__dict__["registry"] = PluginRegistry.of({"exchange": exchange_plugin()})
        return CliRunner().invoke(arbitrade, args, obj=line, input=stdin)

    return run


def test_show_gives_value_and_origin_of_every_setting(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.toml").write_text('[fees]\noverrides = {"BTC/USD" = 0.0010}\n')
    monkeypatch.setenv("ARBITRADE_FEES__TAKER", "0.0026")
    result = run("config", "show")
    assert result.exit_code == 0
    lines = {left.strip(): right for left, _, right in map(partition, result.stdout.splitlines())}
    assert lines['venue = "kraken"'] == "default"
    assert lines["fees.taker = 0.0026"] == "environment ARBITRADE_FEES__TAKER"
    assert lines["fees.overrides.BTC/USD = 0.001"] == "settings.toml"
    assert lines["exchange.api_key = (not set)"] == "default"


def partition(line: str) -> tuple[str, str, str]:
    return line.partition("  # ")


def test_show_masks_secrets_wherever_they_come_from(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(CANARY)
    file.chmod(0o600)
    (tmp_path / ".secrets.toml").write_text(f"[exchange]\napi_key = '{CANARY}'\n")
    from_toml = run("config", "show")
    (tmp_path / ".secrets.toml").unlink()
    monkeypatch.setenv("ARBITRADE_EXCHANGE__API_KEY_FILE", str(file))
    from_file = run("config", "show")
    as_json = run("config", "show", "--json")
    for result, origin in (
        (from_toml, ".secrets.toml"),
        (from_file, "environment ARBITRADE_EXCHANGE__API_KEY_FILE"),
    ):
        [line] = [line for line in result.stdout.splitlines() if "api_key" in line]
        assert partition(line)[0].strip() == "exchange.api_key = ********"
        assert partition(line)[2] == origin
    shown = json.loads(as_json.stdout)["exchange.api_key"]
    assert shown["value"] == "********"
    assert CANARY not in from_toml.output + from_file.output + as_json.output


def test_show_hides_values_of_a_plugin_that_registers_no_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRADE_SECRETS__KEYRING", "false")
    monkeypatch.setenv("ARBITRADE_BELL__TOKEN", CANARY)
    bell = ModuleType("bell_plugin")
    vars(bell)["arbitrade_register_alert_sinks"] = hookimpl(lambda settings: ())
    line = CommandLine(tmp_path)
    line.__dict__["registry"] = PluginRegistry.of({"bell": bell})
    result = CliRunner().invoke(arbitrade, ["config", "show", "--section", "bell"], obj=line)
    assert result.stdout == "bell.token = ********  # environment ARBITRADE_BELL__TOKEN\n"


def test_show_as_json_keeps_decimals_exact(run: Callable[..., Result]) -> None:
    result = run("config", "show", "--json", "--section", "fees")
    assert json.loads(result.stdout)["fees.taker"] == {"value": "0.0040", "origin": "default"}


def test_show_of_an_unknown_section_says_which_there_are(run: Callable[..., Result]) -> None:
    result = run("config", "show", "--section", "fes")
    assert result.exit_code == 2
    assert result.stderr == "Error: --section fes: unknown; did you mean fees?\n"


def test_check_says_that_all_is_well(run: Callable[..., Result]) -> None:
    result = run("config", "check")
    assert result.exit_code == 0
    assert result.stdout.startswith("All ")


def test_check_reports_everything_that_is_wrong_at_once(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text(
        "[fees]\ntaker = true\n[log]\nlevel = 'loud'\n[exchange]\nurl = 5\n"
    )
    result = run("config", "check")
    assert result.exit_code == 2
    assert result.stdout == ""
    for path in ("fees.taker: ", "log.level: ", "exchange.url: "):
        assert path in result.stderr
    as_json = run("config", "check", "--json")
    assert as_json.exit_code == 2
    found = json.loads(as_json.stdout)
    assert found["ok"] is False
    assert len(found["problems"]) == 3


def test_the_example_can_be_used_as_it_is(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("config", "example")
    assert result.exit_code == 0
    assert '#url = "wss://exchange"' in result.stdout
    (tmp_path / "settings.toml").write_text(result.stdout)
    assert run("config", "check").exit_code == 0


@pytest.mark.parametrize("command", ["show", "check", "example"])
def test_every_command_has_help_with_examples(run: Callable[..., Result], command: str) -> None:
    result = run("config", command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
