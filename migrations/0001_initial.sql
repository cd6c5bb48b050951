-- One row for each start of a command that trades or measures.  Everything kept later hangs on it.

CREATE DOMAIN amount AS numeric CHECK (VALUE > '-Infinity' AND VALUE < 'Infinity');
COMMENT ON DOMAIN amount IS 'An exact decimal number; never NaN (which sorts above Infinity), never infinite.';

CREATE DOMAIN label AS text CHECK (VALUE <> '');
COMMENT ON DOMAIN label IS 'A name: some text, never empty.';

CREATE TABLE run (
    id              uuid        PRIMARY KEY,
    account         text        NOT NULL CHECK (account <> ''),
    mode            text        NOT NULL CHECK (mode IN ('live', 'paper', 'replay', 'unknown')),
    venue           label       NOT NULL,
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz CHECK (ended_at >= started_at),
    end_reason      text,
    version         text        NOT NULL CHECK (version <> ''),
    settings_digest text        NOT NULL CHECK (settings_digest ~ '^[0-9a-f]{64}$'),
    settings        jsonb       NOT NULL DEFAULT '{}',
    seed            bigint      NOT NULL DEFAULT 0,
    decisions       bigint      CHECK (decisions >= 0),
    decision_hash   label,
    CONSTRAINT run_account_key UNIQUE (id, account),
    CONSTRAINT run_end_is_whole CHECK (num_nonnulls(ended_at, end_reason, decisions, decision_hash) IN (0, 4))
);

COMMENT ON TABLE run IS 'Starts of commands that trade or measure.';
COMMENT ON COLUMN run.account IS 'Whose money: the name given to the account in the settings.';
COMMENT ON COLUMN run.mode IS 'live: orders at the venue; paper: simulated fills; replay: a recording; unknown: the record of its start was lost, and version, venue and settings are placeholders.';
COMMENT ON COLUMN run.started_at IS 'By the clock of the run: in a replay that of the recording.';
COMMENT ON COLUMN run.ended_at IS 'NULL while it runs, or when it ended without being able to say so.';
COMMENT ON COLUMN run.version IS 'Version of arbitrade-core.';
COMMENT ON COLUMN run.settings IS 'The settings without secrets.';
COMMENT ON COLUMN run.settings_digest IS 'SHA-256 of the settings without secrets, in hexadecimal.';
COMMENT ON COLUMN run.decision_hash IS 'Rolling hash of all decisions; a replay of the run''s recording ends with the same.';
COMMENT ON CONSTRAINT run_account_key ON run IS 'What other tables refer to, so that none of their rows can name another account than its run.';

-- "The last runs of this account" is what every report begins with.
CREATE INDEX run_account_started_at ON run (account, started_at DESC);

CREATE FUNCTION require_row(touched bigint, what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF touched = 0 THEN
        RAISE EXCEPTION '% is not known', what USING ERRCODE = 'foreign_key_violation';
    END IF;
END $$;
COMMENT ON FUNCTION require_row IS 'Fails where a change found no row to change.';

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'Book a correction instead.';
END $$;
COMMENT ON FUNCTION refuse_change IS 'Trigger of tables that are only appended to.';
