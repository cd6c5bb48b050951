"""Where secrets are looked for, in which order, and what is never trusted with one."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import attrs
import pytest

from arbitrade import Secret, SettingsSection
from arbitrade.config import SecretSettings
from arbitrade.config.load import load_settings
from arbitrade.config.stores import KeyringStore, SecretStores, VaultStore
from arbitrade.config.vault import KeyDerivation
from arbitrade.errors import SecretError

keyring = pytest.importorskip("keyring", reason="needs arbitrade-core[vault]")
pytest.importorskip("cryptography", reason="needs arbitrade-core[vault]")

from keyring.backend import KeyringBackend  # noqa: E402  # needs the package
from keyring.errors import KeyringLocked, PasswordDeleteError  # noqa: E402  # needs the package

CANARY = "canary-22ab-do-not-show"
PASSPHRASE = {"ARBITRADE_VAULT_PASSPHRASE": "correct horse"}


class DictKeyring:
    """A keyring in memory.  No subclass of keyring's own, which would list it for everybody."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("not there")


class LockedKeyring(DictKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("the user dismissed the prompt")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("the user dismissed the prompt")


class PlaintextKeyring(DictKeyring):
    """As keyrings.alt brings along."""


PlaintextKeyring.__module__ = "keyrings.alt.file"


class TrustedKeyring(DictKeyring):
    """Goes for the one of macOS."""


TrustedKeyring.__module__, TrustedKeyring.__qualname__ = "keyring.backends.macOS", "Keyring"


def store_on(backend: DictKeyring) -> KeyringStore:
    return KeyringStore(cast(KeyringBackend, backend))


@pytest.fixture(autouse=True)
def _cheap_vaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spend no time on making keys; test_vault.py looks at the real cost."""
    monkeypatch.setattr("arbitrade.config.vault.DEFAULT_COST", KeyDerivation(64, 1, 1))


@attrs.frozen
class Exchange:
    api_key: Secret | None = None
    api_secret: Secret | None = None


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Make a backend the one the system chooses."""

    def use(backend: object) -> None:
        monkeypatch.setattr(keyring, "get_keyring", lambda: backend)

    return use


def never(prompt: str) -> str:
    raise AssertionError(f"asked for {prompt}")


# ── keyring ──────────────────────────────────────────────────────────────────────────────────────


def test_a_keyring_keeps_a_secret_until_it_is_removed() -> None:
    store = store_on(DictKeyring())
    assert store.find("kraken.api_key") is None
    store.put("kraken.api_key", Secret(CANARY))
    assert store.find("kraken.api_key") == Secret(CANARY)
    assert store.remove("kraken.api_key")
    assert not store.remove("kraken.api_key")


def test_a_keyring_in_plain_text_is_never_used(use: Callable[[object], None]) -> None:
    backend = PlaintextKeyring()
    backend.set_password("arbitrade", "kraken.api_key", CANARY)
    use(backend)
    store = KeyringStore()
    assert not store.is_available()
    assert store.find("kraken.api_key") is None
    with pytest.raises(SecretError, match="none that keeps secrets encrypted here; use --store"):
        store.put("kraken.api_key", Secret(CANARY))


def test_the_first_trusted_one_of_several_is_used(
    use: Callable[[object], None],
) -> None:
    trusted = TrustedKeyring()

    class Chainer(DictKeyring):
        backends = (PlaintextKeyring(), trusted)

    use(Chainer())
    KeyringStore().put("kraken.api_key", Secret(CANARY))
    assert trusted.kept == {("arbitrade", "kraken.api_key"): CANARY}


def test_a_machine_without_a_keyring_has_no_secret_there(
    use: Callable[[object], None],
) -> None:
    from keyring.backends.fail import Keyring as NoKeyring

    use(NoKeyring())  # type: ignore[no-untyped-call]  # keyring's own
    assert KeyringStore().find("kraken.api_key") is None


def test_a_locked_keyring_is_told() -> None:
    store = store_on(LockedKeyring())
    with pytest.raises(SecretError, match=r"can't be read for a\.b: .*; unlock it"):
        store.find("a.b")
    with pytest.raises(SecretError, match=r"refuses a\.b"):
        store.put("a.b", Secret(CANARY))


# ── vault ────────────────────────────────────────────────────────────────────────────────────────


def test_a_vault_is_opened_only_when_a_secret_is_revealed(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    VaultStore(path, PASSPHRASE).put("kraken.api_key", Secret(CANARY))
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "correct horse"

    secret = VaultStore(path, {}, ask).find("kraken.api_key")
    assert secret is not None
    assert not asked
    assert secret.reveal() == CANARY
    assert secret.reveal() == CANARY
    assert asked == [f"Passphrase of {path}: "]


def test_a_vault_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    store = VaultStore(tmp_path / "vault", {}, never)
    assert store.find("kraken.api_key") is None
    assert not store.remove("kraken.api_key")


def test_the_others_stay_when_one_is_put_or_removed(tmp_path: Path) -> None:
    store = VaultStore(tmp_path / "vault", PASSPHRASE, never)
    for name in ("a.one", "a.two", "a.three"):
        store.put(name, Secret(name))
    assert store.remove("a.two")
    fresh = VaultStore(tmp_path / "vault", PASSPHRASE, never)
    assert fresh.names() == ("a.one", "a.three")
    assert fresh.find("a.one") == Secret("a.one")


def test_the_passphrase_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    VaultStore(tmp_path / "vault", PASSPHRASE).put("a.b", Secret(CANARY))
    environ = {"ARBITRADE_VAULT_PASSPHRASE_FILE": str(file)}
    assert VaultStore(tmp_path / "vault", environ, never).find("a.b") == Secret(CANARY)


def test_a_passphrase_file_that_is_missing_is_told(tmp_path: Path) -> None:
    VaultStore(tmp_path / "vault", PASSPHRASE).put("a.b", Secret(CANARY))
    environ = {"ARBITRADE_VAULT_PASSPHRASE_FILE": str(tmp_path / "nowhere")}
    secret = VaultStore(tmp_path / "vault", environ, never).find("a.b")
    assert secret is not None
    with pytest.raises(SecretError, match=r"ARBITRADE_VAULT_PASSPHRASE_FILE: .*nowhere"):
        secret.reveal()


def test_a_new_vault_asks_twice_and_notices_a_slip(tmp_path: Path) -> None:
    answers = iter(["one", "two"])
    store = VaultStore(tmp_path / "vault", {}, lambda _: next(answers))
    with pytest.raises(SecretError, match="the two passphrases differ; nothing was written"):
        store.put("a.b", Secret(CANARY))
    assert not (tmp_path / "vault").exists()


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="the passphrase is empty"):
        VaultStore(tmp_path / "vault", {}, lambda _: "").put("a.b", Secret(CANARY))


def test_without_terminal_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(SecretError, match="set ARBITRADE_VAULT_PASSPHRASE_FILE"):
        VaultStore(tmp_path / "vault", {}).put("a.b", Secret(CANARY))


# ── order ────────────────────────────────────────────────────────────────────────────────────────


def test_the_keyring_is_asked_before_the_vault(tmp_path: Path) -> None:
    first, second = store_on(DictKeyring()), VaultStore(tmp_path / "vault", PASSPHRASE)
    second.put("a.both", Secret("from vault"))
    second.put("a.one", Secret("from vault"))
    first.put("a.both", Secret("from keyring"))
    stores = SecretStores((first, second))
    assert stores.find("a.both") == Secret("from keyring")
    assert stores.find("a.one") == Secret("from vault")
    assert stores.find("a.none") is None
    assert stores.found == {"a.both": "keyring", "a.one": "vault vault"}


def test_a_keyring_that_is_turned_off_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched() -> object:
        raise AssertionError("touched")

    monkeypatch.setattr(keyring, "get_keyring", touched)
    stores = SecretStores.of(SecretSettings(keyring=False), tmp_path, {})
    assert stores.find("kraken.api_key") is None


def test_settings_take_a_secret_from_the_best_place_that_has_it(
    tmp_path: Path, use: Callable[[object], None]
) -> None:
    use(TrustedKeyring())
    section = SettingsSection("exchange", Exchange)
    vault = VaultStore(tmp_path / ".secrets.vault", PASSPHRASE)
    written: dict[str, Callable[[], object]] = {
        "vault": lambda: vault.put("exchange.api_key", Secret("from vault")),
        "keyring": lambda: KeyringStore().put("exchange.api_key", Secret("from keyring")),
        ".secrets.toml": lambda: (tmp_path / ".secrets.toml").write_text(
            "[exchange]\napi_key = 'from .secrets.toml'\n"
        ),
    }
    environ = dict(PASSPHRASE)
    for place, write in written.items():
        write()
        settings = load_settings([section], folder=tmp_path, environ=environ)
        found = settings.section("exchange", Exchange)
        assert found == Exchange(Secret(f"from {place}"))
        assert settings.origins["exchange.api_key"].startswith(place)
    environ["ARBITRADE_EXCHANGE__API_KEY"] = "from environment"
    settings = load_settings([section], folder=tmp_path, environ=environ)
    assert settings.section("exchange", Exchange) == Exchange(Secret("from environment"))


def test_no_store_is_touched_before_somebody_asks_for_a_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched() -> object:
        raise SecretError("touched")

    monkeypatch.setattr(keyring, "get_keyring", touched)
    section = SettingsSection("exchange", Exchange)
    settings = load_settings([section], folder=tmp_path, environ={})
    with pytest.raises(SecretError, match="touched"):
        settings.section("exchange", Exchange)


def test_a_plugin_that_registers_no_section_finds_its_secret_as_well(tmp_path: Path) -> None:
    VaultStore(tmp_path / ".secrets.vault", PASSPHRASE).put("exchange.api_key", Secret(CANARY))
    environ = {**PASSPHRASE, "ARBITRADE_SECRETS__KEYRING": "false"}
    settings = load_settings(folder=tmp_path, environ=environ, plugin_names=("exchange",))
    assert settings.section("exchange", Exchange).api_key == Secret(CANARY)
