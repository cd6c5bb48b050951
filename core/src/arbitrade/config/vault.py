"""An encrypted file of secrets: Argon2id makes a key of the passphrase, AES-256-GCM does the rest.

The file is one line of JSON, the header, and one line of base64, the sealed secrets.  The header is
authenticated: changing a name or a parameter in it is noticed.  Salt and nonce are new in every
write, so no key is used twice.  Parameters as RFC 9106 recommends for machines with little memory:
64 MiB, 3 passes, 4 lanes; about 0.2 s.
"""

import base64
import binascii
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes
from typing import Self

import attrs

from arbitrade.config.converter import converter
from arbitrade.errors import SecretError
from arbitrade.secrets import Secret

_FORMAT = "arbitrade-vault"
_VERSION = 1
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES, _TAG_BYTES = 16, 12, 32, 16
# A file from elsewhere must not make us take all memory before its seal can be checked.
_MOST_MEMORY_KIB, _MOST_PASSES, _MOST_LANES = 1024 * 1024, 20, 64


@attrs.frozen
class KeyDerivation:
    """Cost of making a key, as it was when the file was written."""

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4


DEFAULT_COST = KeyDerivation()


@attrs.frozen
class Header:
    """What can be read without the passphrase.

    Args:
        format: Always `arbitrade-vault`.
        version: Of the format.
        argon2id: Cost of making the key.
        salt: Base64.
        nonce: Base64.
        names: Of the secrets, sorted.
        length: Of the sealed part, bytes, by which a torn file is told from a wrong passphrase.
    """

    format: str
    version: int
    argon2id: KeyDerivation
    salt: str
    nonce: str
    names: tuple[str, ...]
    length: int


class Vault:
    """The file at `path`, which may not exist yet."""

    def __init__(self, path: Path, cost: KeyDerivation | None = None) -> None:
        self._path = path
        self._cost = cost or DEFAULT_COST

    def names(self) -> tuple[str, ...]:
        """Return the names of the secrets in it; none when there is no file.

        Raises:
            SecretError: The file is torn, or is no vault.
        """
        return self._load().header.names if self._path.exists() else ()

    def read(self, passphrase: Secret) -> dict[str, Secret]:
        """Return all secrets by name.

        Raises:
            SecretError: Wrong passphrase, torn or changed file, or packages are missing.
        """
        _require_packages()
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed = self._load()
        key = _derive(passphrase, sealed.salt, sealed.header.argon2id)
        try:
            opened = AESGCM(key).decrypt(sealed.nonce, sealed.content, sealed.header_line)
        except InvalidTag:
            raise SecretError(
                f"{self._path}: wrong passphrase, or somebody changed the file; try again, or "
                f"restore the file from a backup"
            ) from None
        return {name: Secret(value) for name, value in json.loads(opened).items()}

    def write(self, secrets: Mapping[str, Secret], passphrase: Secret) -> None:
        """Replace the file as a whole, so that at any time it is either the old one or the new.

        Raises:
            SecretError: The file can't be written, or packages are missing.
        """
        _require_packages()
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        plain = json.dumps({name: secrets[name].reveal() for name in sorted(secrets)}).encode()
        salt, nonce = token_bytes(_SALT_BYTES), token_bytes(_NONCE_BYTES)
        header = Header(
            format=_FORMAT,
            version=_VERSION,
            argon2id=self._cost,
            salt=base64.b64encode(salt).decode(),
            nonce=base64.b64encode(nonce).decode(),
            names=tuple(sorted(secrets)),
            length=len(plain) + _TAG_BYTES,
        )
        header_line = converter.dumps(header)
        key = _derive(passphrase, salt, self._cost)
        content = AESGCM(key).encrypt(nonce, plain, header_line)
        try:
            _replace(self._path, header_line + b"\n" + base64.b64encode(content) + b"\n")
        except OSError as error:
            raise SecretError(
                f"{self._path}: can't be written: {error.strerror}; check folder and mode"
            ) from None

    def _load(self) -> "_Sealed":
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise SecretError(f"{self._path}: can't be read: {error.strerror}") from None
        try:
            return _Sealed.parse(content)
        except _TornError:
            raise SecretError(
                f"{self._path}: is torn, its end is missing; restore it from a backup"
            ) from None
        except Exception:
            # Whatever cattrs or base64 has to say about it helps nobody.
            raise SecretError(
                f"{self._path}: is no vault of ours, or its header was changed; restore it from a "
                f"backup, or name another file in secrets.vault"
            ) from None


class _TornError(Exception):
    """The file ends before it should."""


@attrs.frozen
class _Sealed:
    header: Header
    header_line: bytes
    salt: bytes
    nonce: bytes
    content: bytes

    @classmethod
    def parse(cls, file: bytes) -> Self:
        """Take a file apart; raises `_TornError`, or anything else if it is no vault."""
        header_line, newline, rest = file.partition(b"\n")
        if not newline:
            raise _TornError
        header = converter.loads(header_line, Header)
        cost = header.argon2id
        if (
            (header.format, header.version) != (_FORMAT, _VERSION)
            or not 8 * cost.lanes <= cost.memory_kib <= _MOST_MEMORY_KIB
            or not 1 <= cost.passes <= _MOST_PASSES
            or not 1 <= cost.lanes <= _MOST_LANES
        ):
            raise ValueError("not a vault this version understands")
        try:
            content = base64.b64decode(rest.strip(), validate=True)
        except binascii.Error:
            content = b""
        if len(content) != header.length:
            raise _TornError
        salt = base64.b64decode(header.salt, validate=True)
        nonce = base64.b64decode(header.nonce, validate=True)
        return cls(header, header_line, salt, nonce, content)


def _derive(passphrase: Secret, salt: bytes, cost: KeyDerivation) -> bytes:
    from argon2.low_level import Type, hash_secret_raw

    return hash_secret_raw(
        secret=passphrase.reveal().encode(),
        salt=salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=_KEY_BYTES,
        type=Type.ID,
    )


def _replace(path: Path, content: bytes) -> None:
    # mkstemp makes the file readable by its owner only, from the very beginning.
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    _sync_folder(path.absolute().parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system lets us (Windows doesn't)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _require_packages() -> None:
    from importlib.util import find_spec

    if find_spec("cryptography") is None or find_spec("argon2") is None:
        raise SecretError("vault: its packages are missing; install arbitrade-core[vault]")
