"""The vault: what it keeps, what it notices, and what a crash can do to it."""

import base64
import importlib.util
import json
import os
import stat
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade import Secret
from arbitrade.config.vault import KeyDerivation, Vault
from arbitrade.errors import SecretError

pytest.importorskip("cryptography", reason="needs arbitrade-core[vault]")
pytest.importorskip("argon2", reason="needs arbitrade-core[vault]")

CANARY = "canary-91c0-do-not-show"
PASSPHRASE = Secret("correct horse battery staple")
CHEAP = KeyDerivation(memory_kib=64, passes=1, lanes=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".secrets.vault"


@pytest.fixture
def vault(path: Path) -> Vault:
    """A vault with two secrets, cheap to open."""
    made = Vault(path, CHEAP)
    made.write({"kraken.api_key": Secret("key"), "kraken.api_secret": Secret(CANARY)}, PASSPHRASE)
    return made


def test_what_goes_in_comes_out(vault: Vault) -> None:
    read = vault.read(PASSPHRASE)
    assert {name: secret.reveal() for name, secret in read.items()} == {
        "kraken.api_key": "key",
        "kraken.api_secret": CANARY,
    }


@settings(max_examples=25)
@given(st.dictionaries(st.text(min_size=1), st.text().map(Secret), max_size=4))
def test_any_text_survives(
    tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, Secret]
) -> None:
    vault = Vault(tmp_path_factory.mktemp("any") / "vault", CHEAP)
    vault.write(secrets, PASSPHRASE)
    assert vault.read(PASSPHRASE) == secrets
    assert vault.names() == tuple(sorted(secrets))


def test_names_need_no_passphrase(vault: Vault, path: Path) -> None:
    assert vault.names() == ("kraken.api_key", "kraken.api_secret")
    assert Vault(path.with_name("other")).names() == ()


def test_the_default_cost_is_the_one_we_promise(path: Path) -> None:
    Vault(path).write({"a.b": Secret(CANARY)}, PASSPHRASE)
    header = json.loads(path.read_bytes().splitlines()[0])
    assert header["argon2id"] == {"memory_kib": 65536, "passes": 3, "lanes": 4}
    # A reader takes the cost from the file, so that it can be raised later.
    assert Vault(path, CHEAP).read(PASSPHRASE)["a.b"].reveal() == CANARY


def test_the_file_shows_no_value(vault: Vault, path: Path) -> None:
    content = path.read_bytes()
    assert CANARY.encode() not in content
    assert base64.b64encode(CANARY.encode()).rstrip(b"=") not in content
    assert PASSPHRASE.reveal().encode() not in content


def test_salt_and_nonce_are_new_in_every_write(vault: Vault, path: Path) -> None:
    def fresh() -> tuple[str, str]:
        vault.write({"a.b": Secret(CANARY)}, PASSPHRASE)
        header = json.loads(path.read_bytes().splitlines()[0])
        return header["salt"], header["nonce"]

    first, second = fresh(), fresh()
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_the_owner_may_read_the_file(vault: Vault, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    vault.write({}, PASSPHRASE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_wrong_passphrase_is_told_without_showing_it(vault: Vault) -> None:
    with pytest.raises(SecretError, match="wrong passphrase") as caught:
        vault.read(Secret("wrong-passphrase-1"))
    assert "wrong-passphrase-1" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [("kraken.api_key", "kraken.api_kez"), ('"passes":1', '"passes":2')]
)
def test_a_changed_header_is_noticed(vault: Vault, path: Path, change: tuple[str, str]) -> None:
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(SecretError, match="somebody changed the file"):
        vault.read(PASSPHRASE)


def test_a_changed_content_is_noticed(vault: Vault, path: Path) -> None:
    header, content = path.read_bytes().splitlines()
    sealed = bytearray(base64.b64decode(content))
    sealed[3] ^= 1
    path.write_bytes(header + b"\n" + base64.b64encode(sealed) + b"\n")
    with pytest.raises(SecretError, match="somebody changed the file"):
        vault.read(PASSPHRASE)


def test_a_file_torn_anywhere_is_noticed(vault: Vault, path: Path) -> None:
    content = path.read_bytes()
    # The newline at the very end is the only byte that may be missing.
    for length in range(len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(SecretError, match="is torn"):
            vault.names()


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"{}\n\n",
        b"\xff\xfe\n\n",
        b'{"format":"other","version":1,"argon2id":{},"salt":"","nonce":"","names":[],"length":0}\n',
    ],
)
def test_a_file_that_is_no_vault_is_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SecretError, match="is no vault of ours"):
        Vault(path).names()


def test_a_header_cannot_make_us_take_all_memory(vault: Vault, path: Path) -> None:
    path.write_text(path.read_text().replace('"memory_kib":64', '"memory_kib":99999999999'))
    with pytest.raises(SecretError, match="is no vault of ours"):
        vault.read(PASSPHRASE)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SecretError, match="can't be written: No space left on device"):
        vault.write({}, PASSPHRASE)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_missing_packages_are_named(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "argon2" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert vault.names()
    with pytest.raises(SecretError, match=r"install arbitrade-core\[vault\]"):
        vault.read(PASSPHRASE)
