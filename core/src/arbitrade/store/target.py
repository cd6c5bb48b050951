"""Which PostgreSQL is meant: one that the settings or the environment name, or our own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from arbitrade.config.secrets import read_secret_file
from arbitrade.errors import ConfigError
from arbitrade.secrets import Secret

if TYPE_CHECKING:
    from arbitrade.config import Settings

_NAMES = ("PG_HOST", "PG_PORT", "PG_USER", "PG_PASSWORD", "PG_PASSWORD_FILE", "PG_DATABASE")
_SHOWN_OPTIONS = ("host", "port", "sslmode", "user", "dbname", "database")
_FOLDER = "postgres"


def server_dsn(settings: "Settings", environ: Mapping[str, str] | None = None) -> Secret | None:
    """Return the DSN of the server that is named somewhere; None if our own is to be started.

    `database.dsn`, from whatever place secrets come from, beats the `PG_…` variables.

    Raises:
        ConfigError: It is no DSN, or a variable doesn't fit.
        SecretError: A store of secrets can't be read.
    """
    dsn = settings.database.dsn
    if dsn is None and settings.find_secret is not None:
        dsn = settings.find_secret("database.dsn")
    if dsn is None:
        return _from_variables(os.environ if environ is None else environ)
    address = dsn.reveal()
    if not address.startswith(("postgresql://", "postgres://")):
        raise ConfigError(
            "database.dsn: is no address of a PostgreSQL server; write "
            "postgresql://user:password@host:port/database"
        )
    return dsn


def embedded_folder(settings: "Settings", folder: Path | None = None) -> Path:
    """Return where our own PostgreSQL is to be.

    Args:
        settings: They name it, or the folder it is in.
        folder: Beats them.
    """
    if folder is not None:
        return folder.expanduser()
    if settings.database.folder:
        return Path(settings.database.folder).expanduser()
    return Path(settings.runtime.folder).expanduser() / _FOLDER


def unmade_folder(settings: "Settings", environ: Mapping[str, str] | None = None) -> Path | None:
    """Return where our own PostgreSQL would be made if it was started now; None if it is there.

    None as well if a server is named somewhere.
    """
    if server_dsn(settings, environ) is not None:
        return None
    from arbitrade.store.embedded.account import reachable_folder

    folder = reachable_folder(embedded_folder(settings))
    return None if (folder / "data" / "PG_VERSION").exists() else folder


def shown(dsn: str) -> str:
    """Return a DSN as it may be logged: without its password."""
    parts = urlsplit(dsn)
    login, _, place = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    options = [(key, value) for key, value in parse_qsl(parts.query) if key in _SHOWN_OPTIONS]
    query = f"?{urlencode(options, safe='/')}" if options else ""
    return f"{parts.scheme}://{user}{'@' if user else ''}{place}{parts.path}{query}"


def _from_variables(environ: Mapping[str, str]) -> Secret | None:
    said = {name: environ[name] for name in _NAMES if environ.get(name)}
    if not said:
        return None
    port = said.get("PG_PORT", "5432")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"PG_PORT: {port!r} is no port (environment); write a number such as 5432"
        )
    user, host = said.get("PG_USER", ""), said.get("PG_HOST", "localhost")
    password = _password(said)
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    database = quote(said.get("PG_DATABASE", ""), safe="")
    if host.startswith("/"):  # the folder of a Unix socket
        place, query = "", f"?{urlencode({'host': host, 'port': port}, safe='/')}"
    else:
        place, query = f"[{host}]:{port}" if ":" in host else f"{host}:{port}", ""
    return Secret(f"postgresql://{login}{'@' if login else ''}{place}/{database}{query}")


def _password(said: Mapping[str, str]) -> str:
    named = said.get("PG_PASSWORD_FILE")
    if named is None:
        return said.get("PG_PASSWORD", "")
    if "PG_PASSWORD" in said:
        raise ConfigError("PG_PASSWORD and PG_PASSWORD_FILE are both set; remove one of them")
    try:
        password = read_secret_file(Path(named))
    except OSError as error:
        raise ConfigError(
            f"PG_PASSWORD_FILE: can't read {named!r}: {error.strerror}; check path and mode"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"PG_PASSWORD_FILE: {named!r} {error}; write the password into it"
        ) from error
    Secret(password)  # so that it is masked in logs
    return password
