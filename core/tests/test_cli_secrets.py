"""`arbitrade secrets`: values go in by standard input and never come out."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import attrs
import pytest
from click.testing import CliRunner, Result

from arbitrade import Secret, SettingsSection, hookimpl
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.config.load import load_settings
from arbitrade.config.stores import VaultStore
from arbitrade.config.vault import KeyDerivation
from arbitrade.plugins import PluginRegistry

CANARY = "canary-88e1-do-not-show"
NAME = "exchange.api_key"


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


pytest.importorskip("cryptography", reason="needs arbitrade-core[vault]")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command as `main` does, with one plugin, settings from `tmp_path`, no keyring."""
    monkeypatch.setenv("ARBITRADE_SECRETS__KEYRING", "false")
    monkeypatch.setenv("ARBITRADE_VAULT_PASSPHRASE", "correct horse")
    monkeypatch.setattr("arbitrade.config.vault.DEFAULT_COST", KeyDerivation(64, 1, 1))

    def run(*args: str, stdin: str | None = None) -> Result:
        line = CommandLine(tmp_path)
        line.__dict__["registry"] = PluginRegistry.of({"exchange": exchange_plugin()})
        return CliRunner().invoke(arbitrade, args, obj=line, input=stdin)

    return run


def test_a_secret_that_is_set_is_used_listed_and_removed(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    done = run("secrets", "set", NAME, stdin=f"{CANARY}\n")
    assert done.exit_code == 0
    assert done.stdout == f"{NAME} is in the vault .secrets.vault.\n"
    settings = load_settings([SettingsSection("exchange", Exchange)], folder=tmp_path)
    assert settings.section("exchange", Exchange).api_key == Secret(CANARY)

    listed = run("secrets", "list")
    assert [row.split() for row in listed.stdout.splitlines()] == [
        ["database.dsn", "not", "set"],
        [NAME, "vault", ".secrets.vault"],
    ]
    shown = run("config", "show", "--section", "exchange")
    assert "exchange.api_key = ********" in shown.stdout
    assert "# vault .secrets.vault" in shown.stdout

    removed = run("secrets", "remove", NAME)
    assert removed.stdout == f"{NAME} is gone from the vault .secrets.vault.\n"
    assert f"{NAME:<32}  not set\n" in run("secrets", "list").stdout
    assert CANARY not in done.output + listed.output + shown.output + removed.output


def test_cores_own_secret_is_kept_like_a_plugins(run: Callable[..., Result]) -> None:
    assert run("secrets", "set", "database.dsn", stdin=f"postgresql://{CANARY}/").exit_code == 0
    listed = json.loads(run("secrets", "list", "--json").stdout)
    assert listed["database.dsn"] == "vault .secrets.vault"
    shown = run("config", "show", "--section", "database")
    assert "database.dsn = ********" in shown.stdout
    assert CANARY not in shown.output


def test_a_value_on_the_command_line_is_not_taken(run: Callable[..., Result]) -> None:
    result = run("secrets", "set", NAME, "value")
    assert result.exit_code == 2


def test_an_unknown_name_is_refused_with_the_nearest(run: Callable[..., Result]) -> None:
    result = run("secrets", "set", "exchange.api_kee", stdin=CANARY)
    assert result.exit_code == 2
    assert "did you mean exchange.api_key?" in result.stderr
    assert CANARY not in result.output


def test_nothing_on_standard_input_changes_nothing(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("secrets", "set", NAME, stdin="\n")
    assert result.exit_code == 2
    assert "nothing was changed" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stronger_place_is_pointed_out(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRADE_EXCHANGE__API_KEY", CANARY)
    result = run("secrets", "set", NAME, stdin="other value")
    assert result.exit_code == 0
    assert "environment ARBITRADE_EXCHANGE__API_KEY has exchange.api_key too" in result.stderr


def test_a_secret_no_plugin_asks_for_is_listed_and_can_be_removed(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    store = VaultStore(tmp_path / ".secrets.vault", {"ARBITRADE_VAULT_PASSPHRASE": "correct horse"})
    store.put("gone.token", Secret(CANARY))
    listed = json.loads(run("secrets", "list", "--json").stdout)
    assert listed == {
        "database.dsn": None,
        NAME: None,
        "gone.token": "vault .secrets.vault (no plugin here asks for it)",
    }
    assert run("secrets", "remove", "gone.token").exit_code == 0
    assert store.names() == ()


def test_removing_what_is_not_there_is_told(run: Callable[..., Result]) -> None:
    result = run("secrets", "remove", NAME)
    assert result.exit_code == 1
    assert "is not in the vault .secrets.vault" in result.stderr


def test_a_keyring_that_is_turned_off_is_not_used(run: Callable[..., Result]) -> None:
    result = run("secrets", "set", NAME, "--store", "keyring", stdin=CANARY)
    assert result.exit_code == 2
    assert "--store keyring" in result.stderr


def test_a_wrong_passphrase_is_one_clear_line(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("secrets", "set", NAME, stdin=CANARY)
    monkeypatch.setenv("ARBITRADE_VAULT_PASSPHRASE", "wrong-passphrase")
    result = run("secrets", "set", NAME, stdin="other value")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "wrong passphrase" in line
    assert "wrong-passphrase" not in line


@pytest.mark.parametrize("command", ["set", "list", "remove"])
def test_every_command_has_help_with_examples(run: Callable[..., Result], command: str) -> None:
    result = run("secrets", command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
