-- The double-entry ledger, and how it compares with the venue.  Nothing here is ever dropped by age.

CREATE TABLE ledger_transaction (
    run         uuid        NOT NULL,
    account     label       NOT NULL,
    transaction label       NOT NULL,
    at          timestamptz NOT NULL,
    reason      text        NOT NULL CHECK (reason IN ('opening', 'fill', 'rounding', 'external')),
    cycle       bigint,
    proof       text        NOT NULL,
    postings    smallint    NOT NULL CHECK (postings >= 2),
    PRIMARY KEY (account, transaction),
    CONSTRAINT ledger_transaction_run_key UNIQUE (run, account, transaction),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number)
);
COMMENT ON TABLE ledger_transaction IS 'Transactions of the ledger; of each asset their postings sum to zero.';
COMMENT ON COLUMN ledger_transaction.proof IS 'What shows it: the venue''s ledger id; empty where it is the fill itself.';
COMMENT ON COLUMN ledger_transaction.postings IS 'How many it has; a posting can''t be added later.';
CREATE INDEX ledger_transaction_account_at ON ledger_transaction (account, at);
CREATE INDEX ledger_transaction_cycle ON ledger_transaction (run, cycle);

CREATE TABLE posting (
    run            uuid     NOT NULL,
    account        label    NOT NULL,
    transaction    label    NOT NULL,
    line           smallint NOT NULL CHECK (line > 0),
    ledger_account text     NOT NULL
        CHECK (ledger_account IN ('wallet', 'trading', 'fees', 'rounding', 'opening', 'external')),
    asset          label    NOT NULL,
    amount         amount   NOT NULL,
    PRIMARY KEY (account, transaction, line),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, account, transaction) REFERENCES ledger_transaction (run, account, transaction)
);
COMMENT ON TABLE posting IS 'Lines of the transactions.';
COMMENT ON COLUMN posting.ledger_account IS 'wallet: what the venue holds for us; the others say why it changed.';
CREATE INDEX posting_balance ON posting (account, ledger_account, asset);
CREATE INDEX posting_run ON posting (run);

CREATE FUNCTION check_transaction_balance() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    wanted integer;
    present integer;
    off record;
BEGIN
    SELECT postings INTO wanted FROM ledger_transaction t
        WHERE t.account = NEW.account AND t.transaction = NEW.transaction;
    SELECT count(*) INTO present FROM posting p
        WHERE p.account = NEW.account AND p.transaction = NEW.transaction;
    IF present <> wanted THEN
        RAISE EXCEPTION 'transaction %: has % postings, not %', NEW.transaction, present, wanted
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT asset, sum(amount) AS total INTO off FROM posting p
        WHERE p.account = NEW.account AND p.transaction = NEW.transaction
        GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction %: its postings of % sum to %, not 0',
            NEW.transaction, off.asset, off.total USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION check_transaction_balance IS 'At commit: all postings are there, and of each asset they sum to zero.';
CREATE CONSTRAINT TRIGGER ledger_transaction_balances AFTER INSERT ON ledger_transaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_balance();
CREATE CONSTRAINT TRIGGER posting_balances AFTER INSERT ON posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_balance();
CREATE TRIGGER ledger_transaction_is_kept BEFORE UPDATE OR DELETE ON ledger_transaction
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_transaction_is_kept_whole BEFORE TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_is_kept BEFORE UPDATE OR DELETE ON posting
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_is_kept_whole BEFORE TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE VIEW ledger_balance AS
SELECT account, run, ledger_account, asset, sum(amount)::numeric AS balance
FROM posting GROUP BY account, run, ledger_account, asset;
COMMENT ON VIEW ledger_balance IS 'What each run changed; sum over the runs of an account for what there is.';

CREATE TABLE balance (
    run            uuid        NOT NULL,
    account        label       NOT NULL,
    seq            bigint      NOT NULL CHECK (seq > 0),
    at             timestamptz NOT NULL,
    asset          label       NOT NULL,
    venue_balance  amount      NOT NULL,
    ledger_balance amount      NOT NULL,
    difference     numeric     GENERATED ALWAYS AS (venue_balance - ledger_balance) STORED,
    verdict        text        NOT NULL CHECK (verdict IN ('equal', 'different', 'external', 'halt')),
    PRIMARY KEY (run, seq),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CONSTRAINT balance_equal_is_equal CHECK (verdict <> 'equal' OR venue_balance = ledger_balance)
);
COMMENT ON TABLE balance IS 'The ledger against the venue, one asset: written when they differ, and now and then.';
COMMENT ON COLUMN balance.verdict IS 'different: not looked into yet; external: explained by the venue''s own ledger, or tolerated; halt: by nothing.';
CREATE INDEX balance_run_asset_at ON balance (run, asset, at DESC);
CREATE INDEX balance_differs ON balance (account, at) WHERE verdict <> 'equal';
