"""What the driver and the sockets raise, as errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from arbitrade.errors import ArbitradeError, DatabaseError, DatabaseUnavailableError

CUT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What the driver stumbles over when a connection is cut at the wrong moment.
    asyncpg.InternalClientError,
)
"""What any call on a connection may raise that is not there any more."""

_REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
_GONE = (
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    OSError,
    TimeoutError,
)


@contextmanager
def database_errors(subject: str) -> Iterator[None]:
    """Translate what the driver raises inside; anything that is a bug of ours passes.

    Args:
        subject: Which database it is about, without a password.

    Raises:
        DatabaseUnavailableError: It can't be reached, is starting or stopping, or took too long.
        DatabaseError: It refuses us, or isn't there.
    """
    try:
        yield
    except ArbitradeError:
        raise
    except Exception as error:
        translated = _translate(subject, error)
        if translated is None:
            raise
        raise translated from error


def _translate(subject: str, error: Exception) -> DatabaseError | None:
    reason = str(error) or type(error).__name__
    if isinstance(error, _REFUSED):
        return DatabaseError(
            f"{subject}: the server refuses the user ({reason}); check user and password of "
            "database.dsn or PG_USER and PG_PASSWORD"
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return DatabaseError(
            f"{subject}: the server has no such database ({reason}); make it with createdb, or "
            "correct database.dsn or PG_DATABASE"
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return DatabaseError(
            f"{subject}: the user may not do this ({reason}); make it the owner of the database"
        )
    if isinstance(error, asyncpg.DiskFullError):
        return DatabaseError(f"{subject}: the server's disk is full ({reason}); make room")
    # The driver says so of a closed connection and of wrong use alike; the latter is our bug.
    is_closed = isinstance(error, asyncpg.InterfaceError) and "closed" in reason
    if is_closed or isinstance(error, _GONE):
        return DatabaseUnavailableError(
            f"{subject}: PostgreSQL can't be reached ({reason}); check that it runs and that the "
            "address is right, then try again"
        )
    return None
