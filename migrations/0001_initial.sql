-- One row for each start of a command that trades or measures.  Everything kept later hangs on it.

CREATE TABLE run (
    id              uuid        PRIMARY KEY,
    account         text        NOT NULL CHECK (account <> ''),
    mode            text        NOT NULL CHECK (mode IN ('live', 'paper', 'replay')),
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz CHECK (ended_at >= started_at),
    version         text        NOT NULL CHECK (version <> ''),
    settings_digest text        NOT NULL CHECK (settings_digest ~ '^[0-9a-f]{64}$')
);

COMMENT ON TABLE run IS 'Starts of commands that trade or measure.';
COMMENT ON COLUMN run.account IS 'Whose money: the name given to the account in the settings.';
COMMENT ON COLUMN run.mode IS 'live: orders at the venue; paper: simulated fills; replay: a recording.';
COMMENT ON COLUMN run.ended_at IS 'NULL while it runs, or when it ended without being able to say so.';
COMMENT ON COLUMN run.version IS 'Version of arbitrade-core.';
COMMENT ON COLUMN run.settings_digest IS 'SHA-256 of the settings without secrets, in hexadecimal.';

-- "The last runs of this account" is what every report begins with.
CREATE INDEX run_account_started_at ON run (account, started_at DESC);
