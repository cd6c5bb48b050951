-- What happened around trading: audit, alerts, plugins, limits; and how the journal gets here.

CREATE TABLE audit (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run           uuid        NOT NULL,
    account       label       NOT NULL,
    entry         bigint      NOT NULL CHECK (entry > 0),
    at            timestamptz NOT NULL,
    time_ns       bigint      NOT NULL CHECK (time_ns > 0),
    actor         label       NOT NULL,
    action        label       NOT NULL,
    subject       text        NOT NULL,
    detail        text        NOT NULL,
    previous_hash text        NOT NULL CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
    hash          text        NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT audit_run_entry_key UNIQUE (run, entry),
    CONSTRAINT audit_hash_key UNIQUE (account, hash),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (hash <> previous_hash)
);
COMMENT ON TABLE audit IS 'State changes and actions of operators, each with the hash of the one before; arbitrade audit verify goes along the chain.';
COMMENT ON COLUMN audit.id IS 'Order of writing.';
COMMENT ON COLUMN audit.time_ns IS 'Nanoseconds since the epoch, as it went into the hash; at is the same to the microsecond.';
COMMENT ON COLUMN audit.previous_hash IS '64 zeros where an account''s chain begins.';
COMMENT ON COLUMN audit.hash IS 'SHA-256 over previous_hash and the canonical JSON of the other fields.';
-- A chain has no fork: each entry is followed by one.
CREATE UNIQUE INDEX audit_no_fork ON audit (account, previous_hash) WHERE previous_hash <> repeat('0', 64);
CREATE INDEX audit_account_at ON audit (account, at DESC);
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_is_kept_whole BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Also in a session that plays replication.
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_is_kept;
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_is_kept_whole;

CREATE TABLE alert (
    run      uuid        NOT NULL,
    account  label       NOT NULL,
    number   bigint      NOT NULL CHECK (number > 0),
    at       timestamptz NOT NULL,
    severity smallint    NOT NULL CHECK (severity IN (10, 20, 30, 40, 50)),
    title    label       NOT NULL,
    body     text        NOT NULL,
    subject  text        NOT NULL,
    PRIMARY KEY (run, number),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
);
COMMENT ON TABLE alert IS 'What an operator was to be told.';
COMMENT ON COLUMN alert.severity IS '10 debug, 20 info, 30 warning, 40 error, 50 critical.';
CREATE INDEX alert_account_at ON alert (account, at DESC);

CREATE TABLE alert_delivery (
    run             uuid        NOT NULL,
    account         label       NOT NULL,
    number          bigint      NOT NULL,
    sink            label       NOT NULL,
    state           text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    attempts        integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz,
    finished_at     timestamptz,
    error           text,
    PRIMARY KEY (run, number, sink),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, number) REFERENCES alert (run, number),
    CHECK ((state = 'waiting') = (finished_at IS NULL))
);
COMMENT ON TABLE alert_delivery IS 'The outbox: what is on its way to which sink, and what became of it.';
CREATE INDEX alert_delivery_waiting ON alert_delivery (account, next_attempt_at) WHERE state = 'waiting';

CREATE TABLE plugin_change (
    run     uuid        NOT NULL,
    account label       NOT NULL,
    seq     bigint      NOT NULL CHECK (seq > 0),
    at      timestamptz NOT NULL,
    plugin  label       NOT NULL,
    state   label       NOT NULL,
    reason  text        NOT NULL,
    PRIMARY KEY (run, seq),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
);
COMMENT ON TABLE plugin_change IS 'Plugins enabled, disabled or quarantined.';
CREATE INDEX plugin_change_latest ON plugin_change (account, plugin, at DESC, seq DESC);

CREATE VIEW plugin_state AS
SELECT DISTINCT ON (account, plugin) account, plugin, run, at, state, reason
FROM plugin_change ORDER BY account, plugin, at DESC, seq DESC;
COMMENT ON VIEW plugin_state IS 'What each plugin was last.';

CREATE TABLE settings_override (
    account label       NOT NULL,
    path    label       NOT NULL,
    value   jsonb       NOT NULL,
    actor   label       NOT NULL,
    set_at  timestamptz NOT NULL,
    run     uuid,
    PRIMARY KEY (account, path),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
);
COMMENT ON TABLE settings_override IS 'Settings changed at run time; they beat files, and the environment beats them.  Deleting a row resets it.';
COMMENT ON COLUMN settings_override.run IS 'In which it was changed; NULL when none was running.';

CREATE TABLE limits_version (
    run     uuid        NOT NULL,
    account label       NOT NULL,
    version integer     NOT NULL CHECK (version >= 0),
    at      timestamptz NOT NULL,
    actor   label       NOT NULL,
    limits  jsonb       NOT NULL CHECK (jsonb_typeof(limits) = 'object'),
    PRIMARY KEY (run, version),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
);
COMMENT ON TABLE limits_version IS 'The limits of risk from a version on; a cycle names the one it keeps.';

CREATE TABLE journal_repair (
    run     uuid        NOT NULL,
    account label       NOT NULL,
    seq     bigint      NOT NULL CHECK (seq > 0),
    at      timestamptz NOT NULL,
    what    label       NOT NULL,
    PRIMARY KEY (run, seq),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
);
COMMENT ON TABLE journal_repair IS 'What happened to the journal itself: a torn tail cut, a damaged stretch set aside.';

-- ── on the way from the journal ───────────────────────────────────────────────────────────────────

CREATE TABLE journal_position (
    account    label       NOT NULL,
    journal    uuid        NOT NULL,
    seq        bigint      NOT NULL CHECK (seq >= 0),
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, journal)
);
COMMENT ON TABLE journal_position IS 'How far each journal has been written here; changed in the transaction that writes, so every record is written once.';
COMMENT ON COLUMN journal_position.journal IS 'Identity of the journal''s folder.';

CREATE TABLE journal_gap (
    account    label       NOT NULL,
    journal    uuid        NOT NULL,
    first_seq  bigint      NOT NULL CHECK (first_seq > 0),
    last_seq   bigint      NOT NULL CHECK (last_seq >= first_seq),
    noticed_at timestamptz NOT NULL DEFAULT now(),
    reason     label       NOT NULL,
    PRIMARY KEY (account, journal, first_seq)
);
COMMENT ON TABLE journal_gap IS 'Records that were never written here, because the journal did not have them any more.';

CREATE TABLE unknown_record (
    account label       NOT NULL,
    journal uuid        NOT NULL,
    seq     bigint      NOT NULL CHECK (seq > 0),
    run     text        NOT NULL,
    at      timestamptz NOT NULL,
    kind    text        NOT NULL,
    payload bytea       NOT NULL,
    PRIMARY KEY (account, journal, seq)
);
COMMENT ON TABLE unknown_record IS 'Records of kinds this version doesn''t know, as they were written.';

CREATE TABLE rejected_record (
    account     label       NOT NULL,
    journal     uuid        NOT NULL,
    seq         bigint      NOT NULL CHECK (seq > 0),
    run         text        NOT NULL,
    kind        text        NOT NULL,
    error       label       NOT NULL,
    payload     bytea       NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, journal, seq)
);
COMMENT ON TABLE rejected_record IS 'Records that break a rule of these tables, as they were written, with what was wrong.  Should be empty; nothing else was held up by them.';
COMMENT ON COLUMN rejected_record.run IS 'As the record says, which may be nonsense.';
