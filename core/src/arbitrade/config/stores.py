"""Where secrets are kept outside of files and environment: the system's keyring, and our vault."""

import getpass
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from arbitrade.config.basic import SecretSettings
from arbitrade.config.secrets import read_secret_file
from arbitrade.errors import SecretError
from arbitrade.secrets import Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from arbitrade.config.vault import Vault

SERVICE = "arbitrade"
"""Under which the keyring files our secrets; the user name there is `section.key`."""

PASSPHRASE_VARIABLE = "ARBITRADE_VAULT_PASSPHRASE"  # noqa: S105  # its name, not its value

# Backends that keep secrets encrypted under the user's login.  Others, such as the plain-text files
# of keyrings.alt, come along with unrelated packages and would be used without a word.
_TRUSTED_BACKENDS = frozenset(
    {
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.macOS.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
    }
)


class SecretStore(Protocol):
    """One place that keeps secrets by their dotted name."""

    @property
    def name(self) -> str:
        """What messages call the store."""

    def find(self, name: str) -> Secret | None:
        """Return a secret, None if it isn't here."""

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret, in place of an older one."""

    def remove(self, name: str) -> bool:
        """Forget a secret; False if it wasn't here."""


class SecretStores:
    """The stores in the order they are asked.

    Args:
        stores: The first that knows a secret wins.
    """

    def __init__(self, stores: tuple[SecretStore, ...]) -> None:
        self._stores = stores
        self._asked: dict[str, Secret | None] = {}
        self.found: dict[str, str] = {}
        """In which store each secret that was asked for has been found."""

    @classmethod
    def of(cls, settings: SecretSettings, folder: Path, environ: Mapping[str, str]) -> Self:
        """Return the stores the settings name: the keyring if there is a good one, the vault."""
        stores: list[SecretStore] = [KeyringStore()] if settings.keyring else []
        stores.append(VaultStore(folder / settings.vault, environ))
        return cls(tuple(stores))

    def find(self, name: str) -> Secret | None:
        """Return a secret from the first store that has it.  Each name is looked up once."""
        if name not in self._asked:
            self._asked[name] = self._find(name)
        return self._asked[name]

    def _find(self, name: str) -> Secret | None:
        for store in self._stores:
            secret = store.find(name)
            if secret is not None:
                self.found[name] = store.name
                return secret
        return None


class KeyringStore:
    """The keyring of the operating system.

    Args:
        backend: One in particular, whatever it is; by default the system's, if it can be trusted.
    """

    name = "keyring"

    def __init__(self, backend: "KeyringBackend | None" = None) -> None:
        self._backend = backend
        self._looked = backend is not None

    def is_available(self) -> bool:
        """Return whether there is a keyring that can be trusted."""
        return self._find_backend() is not None

    def find(self, name: str) -> Secret | None:
        """Return a secret; None as well when there is no keyring."""
        backend = self._find_backend()
        if backend is None:
            return None
        from keyring.errors import KeyringError

        try:
            value = backend.get_password(SERVICE, name)
        except KeyringError as error:
            raise SecretError(
                f"keyring: can't be read for {name}: {error}; unlock it, or set "
                f"ARBITRADE_SECRETS__KEYRING=false"
            ) from None
        return None if value is None else Secret(value)

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret.

        Raises:
            SecretError: There is no keyring to trust, or it refuses.
        """
        backend = self._require_backend()
        from keyring.errors import KeyringError

        try:
            backend.set_password(SERVICE, name, secret.reveal())
        except KeyringError as error:
            raise SecretError(f"keyring: refuses {name}: {error}; unlock it first") from None

    def remove(self, name: str) -> bool:
        """Forget a secret; False if it wasn't here.

        Raises:
            SecretError: There is no keyring to trust, or it refuses.
        """
        if self.find(name) is None:
            return False
        from keyring.errors import KeyringError

        try:
            self._require_backend().delete_password(SERVICE, name)
        except KeyringError as error:
            raise SecretError(f"keyring: keeps {name}: {error}; unlock it first") from None
        return True

    def _require_backend(self) -> "KeyringBackend":
        backend = self._find_backend()
        if backend is None:
            raise SecretError(
                "keyring: there is none that keeps secrets encrypted here; use --store vault"
                if _is_installed("keyring")
                else "keyring: not installed; install arbitrade-core[vault], or use the environment"
            )
        return backend

    def _find_backend(self) -> "KeyringBackend | None":
        if not self._looked:
            self._looked = True
            self._backend = _trusted_backend()
        return self._backend


class VaultStore:
    """Our encrypted file.

    Names are readable without the passphrase; it is asked for when a value is.

    Args:
        path: The file; may not exist yet.
        environ: May have the passphrase in `ARBITRADE_VAULT_PASSPHRASE`, or the path of a file with
            it in `ARBITRADE_VAULT_PASSPHRASE_FILE`.
        ask: Asks the user with a text; by default hidden on the terminal, if there is one.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        ask: Callable[[str], str] | None = None,
    ) -> None:
        self._path = path
        self._environ = environ
        self._ask = ask if ask is not None else _ask_on_terminal
        self._opened: dict[str, Secret] | None = None
        self._passphrase: Secret | None = None

    @property
    def name(self) -> str:
        """What messages call the store."""
        return f"vault {self._path.name}"

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets in it; needs no passphrase."""
        return self._vault().names()

    def find(self, name: str) -> Secret | None:
        """Return a secret that opens the vault when it is revealed."""
        if not self._path.exists() or name not in self.names():
            return None
        return Secret.deferred(lambda: self._open()[name].reveal())

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret; makes the vault if there is none."""
        vault = self._vault()
        is_new = not self._path.exists()
        known = {} if is_new else self._open()
        vault.write({**known, name: secret}, self._ask_passphrase(twice=is_new))
        self._opened = None

    def remove(self, name: str) -> bool:
        """Forget a secret; False if it wasn't here."""
        if not self._path.exists() or name not in self.names():
            return False
        left = {known: secret for known, secret in self._open().items() if known != name}
        if left:
            self._vault().write(left, self._ask_passphrase())
        else:
            # So that one can begin anew, with another passphrase.
            self._path.unlink()
        self._opened = None
        return True

    def _open(self) -> dict[str, Secret]:
        if self._opened is None:
            self._opened = self._vault().read(self._ask_passphrase())
        return self._opened

    def _vault(self) -> "Vault":
        from arbitrade.config.vault import Vault

        return Vault(self._path)

    def _ask_passphrase(self, *, twice: bool = False) -> Secret:
        if self._passphrase is None:
            self._passphrase = self._passphrase_given() or self._passphrase_typed(twice)
        return self._passphrase

    def _passphrase_given(self) -> Secret | None:
        given = self._environ.get(PASSPHRASE_VARIABLE)
        if given:
            return Secret(given)
        named = self._environ.get(f"{PASSPHRASE_VARIABLE}_FILE")
        if not named:
            return None
        try:
            return Secret(read_secret_file(Path(named)))
        except OSError as error:
            reason = error.strerror or "unreadable"
        except ValueError as error:
            reason = str(error)
        raise SecretError(f"{PASSPHRASE_VARIABLE}_FILE: {named!r}: {reason}; check the file")

    def _passphrase_typed(self, twice: bool) -> Secret:
        first = self._ask(f"Passphrase of {self._path}: ")
        if not first:
            raise SecretError(f"{self.name}: the passphrase is empty; choose a long one")
        if twice and self._ask("The same again: ") != first:
            raise SecretError(f"{self.name}: the two passphrases differ; nothing was written")
        return Secret(first)


def _ask_on_terminal(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise SecretError(
            "vault: is locked, and there is no terminal to ask for its passphrase; set "
            f"{PASSPHRASE_VARIABLE}_FILE to a file that holds it"
        )
    return getpass.getpass(prompt, stream=sys.stderr)


def _trusted_backend() -> "KeyringBackend | None":
    if not _is_installed("keyring"):
        return None
    import keyring

    chosen = keyring.get_keyring()
    # The chainer stands for all that work on this machine, the best one first.
    candidates = getattr(chosen, "backends", None) or [chosen]
    return next((backend for backend in candidates if _is_trusted(backend)), None)


def _is_trusted(backend: object) -> bool:
    kind = type(backend)
    return f"{kind.__module__}.{kind.__qualname__}" in _TRUSTED_BACKENDS


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
