"""Section `database` of the settings."""

import attrs

from arbitrade.config.fields import setting
from arbitrade.secrets import Secret


@attrs.frozen
class DatabaseSettings:
    """Which PostgreSQL is used, and how."""

    dsn: Secret | None = setting(
        None,
        "Server to use, as postgresql://user:password@host:port/database.  It beats PG_HOST, "
        "PG_PORT, PG_USER, PG_PASSWORD and PG_DATABASE; without any of them a PostgreSQL of our "
        "own is started.",
    )
    folder: str = setting(
        "", "Folder of that PostgreSQL of our own; empty is `postgres` in `runtime.folder`."
    )
    pool_size: int = setting(
        8, "Most connections of one process.", unit="connections", minimum=2, maximum=100
    )
    command_timeout_s: float = setting(
        30.0, "A query that takes longer is given up.", unit="s", minimum=1, maximum=3600
    )
    retention_days: int = setting(
        400,
        "Time-partitioned history older than this is dropped; 0 keeps everything.",
        unit="days",
        minimum=0,
    )
