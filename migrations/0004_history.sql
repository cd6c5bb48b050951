-- What grows with the market: partitioned by month, dropped beyond retention.  A row of a month that
-- has no partition lands in the default one; `ensure_partition` moves it when it makes the month's.

CREATE TABLE opportunity (
    run             uuid        NOT NULL,
    account         label       NOT NULL,
    number          bigint      NOT NULL CHECK (number > 0),
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    detector        label       NOT NULL,
    key             label       NOT NULL,
    assets          text[]      NOT NULL,
    legs            jsonb       NOT NULL,
    sightings       bigint      NOT NULL CHECK (sightings > 0),
    edge_bps        amount      NOT NULL,
    best_edge_bps   amount      NOT NULL,
    size            amount      NOT NULL,
    profit          amount      NOT NULL,
    best_profit     amount      NOT NULL,
    outcome         text        NOT NULL CHECK (outcome IN ('approved', 'refused', 'blocked', 'observed')),
    rule            text        NOT NULL,
    reason          text        NOT NULL,
    value           text        NOT NULL,
    limit_value     text        NOT NULL,
    also            text[]      NOT NULL,
    flips           jsonb       NOT NULL,
    cycle           bigint,
    PRIMARY KEY (run, number, first_seen_at),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (last_seen_at >= first_seen_at),
    CONSTRAINT opportunity_best_is_best CHECK (best_edge_bps >= edge_bps AND best_profit >= profit),
    CONSTRAINT opportunity_not_taken_has_a_rule CHECK (
        CASE outcome WHEN 'approved' THEN rule = '' WHEN 'observed' THEN true ELSE rule <> '' END),
    CONSTRAINT opportunity_only_approved_becomes_a_cycle CHECK (cycle IS NULL OR outcome IN ('approved', 'observed'))
) PARTITION BY RANGE (first_seen_at);
CREATE TABLE opportunity_default PARTITION OF opportunity DEFAULT;
COMMENT ON TABLE opportunity IS 'Opportunities by outcome, from first to last sighting.  Amounts are in the first asset.';
COMMENT ON COLUMN opportunity.number IS 'Within the run.';
COMMENT ON COLUMN opportunity.rule IS 'What decided: a risk rule, lots; empty when approved.';
COMMENT ON COLUMN opportunity.value IS 'What the rule measured; limit_value is what it allows.';
COMMENT ON COLUMN opportunity.also IS 'Further rules that refused it at the same time.';
COMMENT ON COLUMN opportunity.flips IS 'The smallest changes, each of which alone makes the rule let it pass: [{parameter, current, needed, unit}].';
COMMENT ON COLUMN opportunity.cycle IS 'Number of the cycle it became.  Refers to no row on purpose: this table forgets sooner.';
CREATE INDEX opportunity_funnel ON opportunity (run, outcome, rule);
CREATE INDEX opportunity_near ON opportunity (run, best_edge_bps DESC) WHERE outcome IN ('refused', 'blocked');
CREATE INDEX opportunity_account_seen ON opportunity (account, first_seen_at);
CREATE INDEX opportunity_cycle ON opportunity (run, cycle) WHERE cycle IS NOT NULL;

CREATE TABLE risk_decision (
    run           uuid        NOT NULL,
    account       label       NOT NULL,
    minute        timestamptz NOT NULL,
    outcome       text        NOT NULL CHECK (outcome IN ('approved', 'refused', 'blocked', 'observed')),
    rule          text        NOT NULL,
    opportunities bigint      NOT NULL CHECK (opportunities > 0),
    sightings     bigint      NOT NULL CHECK (sightings >= opportunities),
    best_edge_bps amount      NOT NULL,
    PRIMARY KEY (run, minute, outcome, rule),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (minute = date_trunc('minute', minute, 'UTC'))
) PARTITION BY RANGE (minute);
CREATE TABLE risk_decision_default PARTITION OF risk_decision DEFAULT;
COMMENT ON TABLE risk_decision IS 'Decisions by minute, outcome and binding rule; small enough to outlive the opportunities.';
COMMENT ON COLUMN risk_decision.opportunities IS 'That were first seen in this minute.';

CREATE TABLE book_snapshot (
    run            uuid        NOT NULL,
    account        label       NOT NULL,
    seq            bigint      NOT NULL CHECK (seq > 0),
    at             timestamptz NOT NULL,
    cycle          bigint,
    symbol         label       NOT NULL,
    moment         label       NOT NULL,
    bid_prices     numeric[]   NOT NULL,
    bid_quantities numeric[]   NOT NULL,
    ask_prices     numeric[]   NOT NULL,
    ask_quantities numeric[]   NOT NULL,
    PRIMARY KEY (run, seq, at),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (cardinality(bid_prices) = cardinality(bid_quantities)
       AND cardinality(ask_prices) = cardinality(ask_quantities)),
    CONSTRAINT book_snapshot_no_hollow_level CHECK (
        0 < ALL (bid_prices) AND 0 < ALL (bid_quantities)
        AND 0 < ALL (ask_prices) AND 0 < ALL (ask_quantities)
        AND 'Infinity' > ALL (bid_prices || bid_quantities || ask_prices || ask_quantities))
) PARTITION BY RANGE (at);
CREATE TABLE book_snapshot_default PARTITION OF book_snapshot DEFAULT;
COMMENT ON TABLE book_snapshot IS 'Books as they were when a cycle began, ended or was unwound; best level first.';
CREATE INDEX book_snapshot_cycle ON book_snapshot (run, cycle);

CREATE TABLE cycle_note (
    run     uuid        NOT NULL,
    account label       NOT NULL,
    seq     bigint      NOT NULL CHECK (seq > 0),
    at      timestamptz NOT NULL,
    cycle   bigint,
    what    label       NOT NULL,
    fields  jsonb       NOT NULL,
    PRIMARY KEY (run, seq, at),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
) PARTITION BY RANGE (at);
CREATE TABLE cycle_note_default PARTITION OF cycle_note DEFAULT;
COMMENT ON TABLE cycle_note IS 'What executors wrote about cycles.';
CREATE INDEX cycle_note_cycle ON cycle_note (run, cycle);

CREATE TABLE latency (
    run        uuid        NOT NULL,
    account    label       NOT NULL,
    seq        bigint      NOT NULL CHECK (seq > 0),
    at         timestamptz NOT NULL,
    from_at    timestamptz NOT NULL,
    name       label       NOT NULL,
    count      bigint      NOT NULL CHECK (count >= 0),
    p50_us     amount      NOT NULL CHECK (p50_us >= 0),
    p99_us     amount      NOT NULL,
    p999_us    amount      NOT NULL,
    maximum_us amount      NOT NULL,
    PRIMARY KEY (run, seq, at),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (from_at <= at),
    CHECK (p50_us <= p99_us AND p99_us <= p999_us AND p999_us <= maximum_us)
) PARTITION BY RANGE (at);
CREATE TABLE latency_default PARTITION OF latency DEFAULT;
COMMENT ON TABLE latency IS 'Latencies over a stretch of time, from from_at to at, in microseconds.';
CREATE INDEX latency_run_name ON latency (run, name, at);

CREATE TABLE profit_snapshot (
    run                  uuid        NOT NULL,
    account              label       NOT NULL,
    seq                  bigint      NOT NULL CHECK (seq > 0),
    at                   timestamptz NOT NULL,
    realised_reference   amount      NOT NULL,
    peak_reference       amount      NOT NULL,
    today_reference      amount      NOT NULL,
    consecutive_failures integer     NOT NULL CHECK (consecutive_failures >= 0),
    PRIMARY KEY (run, seq, at),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (peak_reference >= realised_reference)
) PARTITION BY RANGE (at);
CREATE TABLE profit_snapshot_default PARTITION OF profit_snapshot DEFAULT;
COMMENT ON TABLE profit_snapshot IS 'Profit so far, in the reference asset of the settings.';
CREATE INDEX profit_snapshot_account_at ON profit_snapshot (account, at);

CREATE TABLE profit_by_asset (
    run      uuid        NOT NULL,
    account  label       NOT NULL,
    seq      bigint      NOT NULL CHECK (seq > 0),
    at       timestamptz NOT NULL,
    asset    label       NOT NULL,
    realised amount      NOT NULL,
    PRIMARY KEY (run, seq, asset, at),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
) PARTITION BY RANGE (at);
CREATE TABLE profit_by_asset_default PARTITION OF profit_by_asset DEFAULT;
COMMENT ON TABLE profit_by_asset IS 'The same snapshots, asset by asset.';

CREATE TABLE balance_snapshot (
    run     uuid        NOT NULL,
    account label       NOT NULL,
    seq     bigint      NOT NULL CHECK (seq > 0),
    at      timestamptz NOT NULL,
    asset   label       NOT NULL,
    balance amount      NOT NULL,
    PRIMARY KEY (run, seq, asset, at),
    FOREIGN KEY (run, account) REFERENCES run (id, account)
) PARTITION BY RANGE (at);
CREATE TABLE balance_snapshot_default PARTITION OF balance_snapshot DEFAULT;
COMMENT ON TABLE balance_snapshot IS 'All balances of the ledger''s wallet at a moment.';
CREATE INDEX balance_snapshot_account_at ON balance_snapshot (account, at DESC);

-- ── keeping the partitions ────────────────────────────────────────────────────────────────────────

CREATE FUNCTION partition_name(parent regclass, month date) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT (SELECT relname FROM pg_class WHERE oid = parent) || to_char(month, '_YYYY_MM')
$$;
COMMENT ON FUNCTION partition_name IS 'What the partition of a month is called.';

CREATE FUNCTION partition_column(parent regclass) RETURNS name
LANGUAGE sql STABLE AS $$
    SELECT a.attname FROM pg_partitioned_table p
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = parent
$$;
COMMENT ON FUNCTION partition_column IS 'By which time a table is partitioned.';

CREATE FUNCTION ensure_partition(parent regclass, day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    month date := date_trunc('month', day)::date;
    child text := partition_name(parent, month);
    rest text := (SELECT relname FROM pg_class WHERE oid = parent) || '_default';
    begins text := to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00';
    ends text := to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
BEGIN
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', child, parent);
    -- Rows that came before their partition.
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        rest, partition_column(parent), begins, partition_column(parent), ends, child);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, begins, ends);
    RETURN true;
END $$;
COMMENT ON FUNCTION ensure_partition IS 'Makes the partition of a month if it isn''t there; true if it made one.';

CREATE FUNCTION drop_history(parent regclass, before date) RETURNS TABLE (dropped text, rows_deleted bigint)
LANGUAGE plpgsql AS $$
DECLARE
    child record;
    rest text := (SELECT relname FROM pg_class WHERE oid = parent) || '_default';
    deleted bigint;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = parent) <> 'p' THEN
        RAISE EXCEPTION '% has no partitions: what is in it is kept', parent;
    END IF;
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent AND c.relname ~ '_\d{4}_\d{2}$'
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', child.relname);
        dropped := child.relname; rows_deleted := NULL;
        RETURN NEXT;
    END LOOP;
    EXECUTE format('DELETE FROM %I WHERE %I < %L', rest, partition_column(parent),
        to_char(before, 'YYYY-MM-DD') || ' 00:00:00+00');
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        dropped := rest; rows_deleted := deleted;
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION drop_history IS 'Drops the partitions that end before a day, and such rows of the default one.  Only for tables with partitions: never money.';
