-- What is traded: instruments, cycles with their legs, orders, executions, and ways out.
-- Nothing here is ever dropped by age.

CREATE TABLE instrument (
    run                uuid        NOT NULL,
    account            label       NOT NULL,
    seq                bigint      NOT NULL CHECK (seq > 0),
    symbol             label       NOT NULL,
    seen_at            timestamptz NOT NULL,
    base               label       NOT NULL,
    quote              label       NOT NULL,
    status             label       NOT NULL,
    price_precision    integer     NOT NULL CHECK (price_precision >= 0),
    quantity_precision integer     NOT NULL CHECK (quantity_precision >= 0),
    cost_precision     integer     NOT NULL CHECK (cost_precision >= 0),
    price_increment    amount      NOT NULL CHECK (price_increment > 0),
    quantity_increment amount      NOT NULL CHECK (quantity_increment > 0),
    minimum_quantity   amount      NOT NULL CHECK (minimum_quantity >= 0),
    minimum_notional   amount      NOT NULL CHECK (minimum_notional >= 0),
    PRIMARY KEY (run, symbol, seq),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CHECK (base <> quote)
);
COMMENT ON TABLE instrument IS 'Pairs as the venue described them: a row when a run first saw one, and for each change.';
COMMENT ON COLUMN instrument.seq IS 'Number of the record in the journal; later rows of a pair have greater ones.';

CREATE TABLE cycle (
    run              uuid        NOT NULL,
    number           bigint      NOT NULL CHECK (number > 0),
    account          label       NOT NULL,
    key              label,
    detector         label,
    executor         label,
    assets           text[],
    start_asset      label,
    edge_bps         amount,
    size             amount      CHECK (size >= 0),
    planned_spent    amount      CHECK (planned_spent >= 0),
    planned_received amount      CHECK (planned_received >= 0),
    expected_profit  numeric     GENERATED ALWAYS AS (planned_received - planned_spent) STORED,
    cap              text,
    dust             jsonb,
    limits_version   integer,
    approved_at      timestamptz,
    opened_at        timestamptz NOT NULL,
    state            text        NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'unwinding', 'completed', 'unwound', 'aborted_clean', 'flagged')),
    closed_at        timestamptz,
    profit           amount,
    profit_reference amount,
    reason           text,
    is_recovered     boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (run, number),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    CONSTRAINT cycle_opening_is_whole CHECK (
        num_nonnulls(detector, executor, assets, edge_bps, size, planned_spent, planned_received,
                     cap, dust, limits_version, approved_at) IN (0, 11)),
    CONSTRAINT cycle_final_state_is_closed CHECK (
        (state IN ('completed', 'unwound', 'aborted_clean', 'flagged')) = (closed_at IS NOT NULL)),
    CONSTRAINT cycle_closing_is_whole CHECK (
        num_nonnulls(closed_at, profit, reason) IN (0, 3)
        AND (closed_at IS NULL OR num_nonnulls(key, start_asset) = 2)),
    CONSTRAINT cycle_starts_where_its_assets_do CHECK (start_asset = assets[1]),
    CONSTRAINT cycle_aborted_clean_moved_nothing CHECK (state <> 'aborted_clean' OR profit = 0),
    CHECK (profit_reference IS NULL OR profit IS NOT NULL)
);
COMMENT ON TABLE cycle IS 'Cycles, from approval to their end.  Amounts are in the start asset unless said otherwise.';
COMMENT ON COLUMN cycle.number IS 'Within the run.';
COMMENT ON COLUMN cycle.key IS 'Identifies the cycle over time; NULL, like all of the plan, where the record of its opening was lost.';
COMMENT ON COLUMN cycle.edge_bps IS 'Net edge at the best prices when it was found, in basis points.';
COMMENT ON COLUMN cycle.size IS 'The exact optimum before lots and caps.';
COMMENT ON COLUMN cycle.cap IS 'What bound the size below the optimum; empty for nothing.';
COMMENT ON COLUMN cycle.dust IS 'What the plan leaves over on the way: [{asset, amount, value}].';
COMMENT ON COLUMN cycle.limits_version IS 'Of the limits it was approved under and keeps to its end.';
COMMENT ON COLUMN cycle.profit IS 'What its fills changed of the start asset, all fees included.';
COMMENT ON COLUMN cycle.profit_reference IS 'The same in the reference asset of the settings; NULL when no book told.';
COMMENT ON COLUMN cycle.is_recovered IS 'A crash lay between its opening and its end.';
CREATE INDEX cycle_account_opened_at ON cycle (account, opened_at DESC);
CREATE INDEX cycle_run_opened_at ON cycle (run, opened_at DESC);
CREATE INDEX cycle_unfinished ON cycle (account) WHERE closed_at IS NULL;
CREATE INDEX cycle_account_key ON cycle (account, key);

CREATE FUNCTION keep_closed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.closed_at IS NOT NULL
       AND (NEW.state, NEW.closed_at, NEW.profit, NEW.profit_reference, NEW.start_asset, NEW.reason)
           IS DISTINCT FROM
           (OLD.state, OLD.closed_at, OLD.profit, OLD.profit_reference, OLD.start_asset, OLD.reason)
    THEN
        RAISE EXCEPTION 'cycle % of run % is closed', OLD.number, OLD.run
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION keep_closed IS 'A cycle that has ended stays as it ended.';
CREATE TRIGGER cycle_keep_closed BEFORE UPDATE ON cycle
    FOR EACH ROW EXECUTE FUNCTION keep_closed();

CREATE TABLE cycle_flow (
    run      uuid   NOT NULL,
    account  label  NOT NULL,
    cycle    bigint NOT NULL,
    asset    label  NOT NULL,
    flow     amount NOT NULL,
    residual amount NOT NULL,
    PRIMARY KEY (run, cycle, asset),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number)
);
COMMENT ON TABLE cycle_flow IS 'Profit and loss of a closed cycle, asset by asset.';
COMMENT ON COLUMN cycle_flow.flow IS 'What its fills changed, all fees included.';
COMMENT ON COLUMN cycle_flow.residual IS 'Of that, what is left outside of the start asset, dust included.';
CREATE TRIGGER cycle_flow_is_kept BEFORE UPDATE OR DELETE ON cycle_flow
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER cycle_flow_is_kept_whole BEFORE TRUNCATE ON cycle_flow
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION check_cycle_profit() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    of_run uuid;
    of_cycle bigint;
    closed cycle%ROWTYPE;
    flowed numeric;
BEGIN
    -- Each branch of its own: the two tables call the number differently.
    IF TG_TABLE_NAME = 'cycle' THEN
        of_run := NEW.run; of_cycle := NEW.number;
    ELSE
        of_run := NEW.run; of_cycle := NEW.cycle;
    END IF;
    SELECT * INTO closed FROM cycle WHERE run = of_run AND number = of_cycle;
    IF closed.closed_at IS NULL THEN
        IF EXISTS (SELECT FROM cycle_flow WHERE run = of_run AND cycle = of_cycle) THEN
            RAISE EXCEPTION 'cycle % of run % has flows but no end', of_cycle, of_run
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END IF;
    SELECT coalesce(sum(flow), 0) INTO flowed FROM cycle_flow
        WHERE run = of_run AND cycle = of_cycle AND asset = closed.start_asset;
    IF flowed <> closed.profit THEN
        RAISE EXCEPTION 'cycle % of run %: profit is % % but its flows are %',
            of_cycle, of_run, closed.profit, closed.start_asset, flowed
            USING ERRCODE = 'check_violation';
    END IF;
    IF closed.state = 'flagged' AND NOT EXISTS (
        SELECT FROM cycle_flow WHERE run = of_run AND cycle = of_cycle AND residual <> 0) THEN
        RAISE EXCEPTION 'cycle % of run % is flagged but no residual is named', of_cycle, of_run
            USING ERRCODE = 'check_violation';
    END IF;
    IF closed.state = 'aborted_clean' AND EXISTS (
        SELECT FROM cycle_flow WHERE run = of_run AND cycle = of_cycle AND flow <> 0) THEN
        RAISE EXCEPTION 'cycle % of run % is aborted_clean but something flowed', of_cycle, of_run
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION check_cycle_profit IS 'At commit: profit is the flow of the start asset; a flagged cycle names what is left.';
CREATE CONSTRAINT TRIGGER cycle_profit_is_its_flow AFTER INSERT OR UPDATE ON cycle
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_cycle_profit();
CREATE CONSTRAINT TRIGGER cycle_flow_is_its_profit AFTER INSERT ON cycle_flow
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_cycle_profit();

CREATE TABLE attribution (
    run                uuid   NOT NULL,
    account            label  NOT NULL,
    cycle              bigint NOT NULL,
    expected           amount NOT NULL,
    realised           amount NOT NULL,
    moved_before_send  amount NOT NULL,
    moved_send_to_ack  amount NOT NULL,
    moved_ack_to_fill  amount NOT NULL,
    fees               amount NOT NULL,
    rounding_and_dust  amount NOT NULL,
    depth_misjudged    amount NOT NULL,
    unwinding          amount NOT NULL,
    PRIMARY KEY (run, cycle),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number),
    CONSTRAINT attribution_adds_up CHECK (
        expected - moved_before_send - moved_send_to_ack - moved_ack_to_fill - fees
        - rounding_and_dust - depth_misjudged - unwinding = realised)
);
COMMENT ON TABLE attribution IS 'Where the difference between expected and realised profit of a cycle went; in its start asset, positive for a loss, exact.';

CREATE TABLE leg (
    run         uuid    NOT NULL,
    account     label   NOT NULL,
    cycle       bigint  NOT NULL,
    leg         integer NOT NULL CHECK (leg >= 0),
    symbol      label   NOT NULL,
    side        text    NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity    amount  CHECK (quantity >= 0),
    limit_price amount  CHECK (limit_price >= 0),
    worst_price amount  CHECK (worst_price >= 0),
    vwap        amount  CHECK (vwap >= 0),
    spent       amount,
    received    amount,
    fee         amount,
    fee_asset   text,
    leftover    amount,
    levels      integer CHECK (levels >= 0),
    blocked     text,
    PRIMARY KEY (run, cycle, leg),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number),
    CONSTRAINT leg_quote_is_whole CHECK (
        num_nonnulls(quantity, limit_price, worst_price, vwap, spent, received, fee, fee_asset,
                     leftover, levels) IN (0, 10))
);
COMMENT ON TABLE leg IS 'Legs as planned; leg_outcome has what became of them.';
COMMENT ON COLUMN leg.leg IS 'From 0, in trading order.';
COMMENT ON COLUMN leg.quantity IS 'In base; NULL, like all figures, where it could not be quoted.';
COMMENT ON COLUMN leg.spent IS 'Of the asset that goes in, fee included where it is charged there.';
COMMENT ON COLUMN leg.received IS 'Of the asset that comes out, after the fee where it is charged there.';
COMMENT ON COLUMN leg.leftover IS 'Of what was to go in, what lots or lack of depth leave.';

CREATE TABLE trade_order (
    run             uuid        NOT NULL,
    account         label       NOT NULL,
    client_id       label       NOT NULL,
    cycle           bigint,
    leg             integer     NOT NULL CHECK (leg >= 0),
    role            text        NOT NULL CHECK (role IN ('leg', 'unwind', 'flatten', 'rehearsal')),
    intended_at     timestamptz NOT NULL,
    symbol          label       NOT NULL,
    side            text        NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity        amount      NOT NULL CHECK (quantity > 0),
    limit_price     amount      CHECK (limit_price > 0),
    order_type      text        NOT NULL CHECK (order_type IN ('limit', 'market')),
    time_in_force   text        NOT NULL CHECK (time_in_force IN ('gtc', 'gtd', 'ioc', 'fok')),
    deadline        timestamptz,
    expires_at      timestamptz,
    fee_in          text        NOT NULL CHECK (fee_in IN ('base', 'quote')),
    is_post_only    boolean     NOT NULL,
    is_reduce_only  boolean     NOT NULL,
    is_dry_run      boolean     NOT NULL,
    spends          label       NOT NULL,
    receives        label       NOT NULL,
    outcome         text        CHECK (outcome IN ('accepted', 'rejected', 'unknown', 'not_sent')),
    answered_at     timestamptz,
    sent_at         timestamptz,
    order_id        label,
    answer_reason   text,
    ended_at        timestamptz,
    status          text        CHECK (status IN ('pending_new', 'new', 'partially_filled',
                                                  'filled', 'canceled', 'expired', 'rejected')),
    end_reason      text,
    filled_quantity amount      CHECK (filled_quantity >= 0),
    filled_cost     amount      CHECK (filled_cost >= 0),
    spent           amount,
    received        amount,
    PRIMARY KEY (account, client_id),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number),
    CHECK (spends <> receives),
    CONSTRAINT trade_order_limit_has_a_price CHECK (order_type <> 'limit' OR limit_price IS NOT NULL),
    CONSTRAINT trade_order_of_a_leg_has_a_cycle CHECK (role NOT IN ('leg', 'unwind') OR cycle IS NOT NULL),
    CONSTRAINT trade_order_answer_is_whole CHECK (num_nonnulls(outcome, answered_at, answer_reason) IN (0, 3)),
    CONSTRAINT trade_order_end_is_whole CHECK (
        num_nonnulls(ended_at, end_reason, filled_quantity, filled_cost, spent, received) IN (0, 6)
        AND (status IS NULL OR ended_at IS NOT NULL)),
    CONSTRAINT trade_order_not_sent_filled_nothing CHECK (
        outcome IS DISTINCT FROM 'not_sent' OR filled_quantity IS NULL OR filled_quantity = 0)
);
COMMENT ON TABLE trade_order IS 'Orders: the intent, written down before anything was sent, then the answer, then the end.';
COMMENT ON COLUMN trade_order.client_id IS 'Our own id; the venue knows the order by it too.';
COMMENT ON COLUMN trade_order.cycle IS 'NULL for an order that is no cycle''s.';
COMMENT ON COLUMN trade_order.leg IS 'Index in the plan; in unwinding, how many orders came before.';
COMMENT ON COLUMN trade_order.outcome IS 'What became of sending it; NULL before there is an answer.';
COMMENT ON COLUMN trade_order.sent_at IS 'When its bytes left; NULL if they did not, or nobody knows.';
COMMENT ON COLUMN trade_order.order_id IS 'The venue''s id.';
COMMENT ON COLUMN trade_order.ended_at IS 'When nothing more could happen to it.';
COMMENT ON COLUMN trade_order.status IS 'At its end; NULL when it never reached the venue.';
COMMENT ON COLUMN trade_order.spent IS 'Of the asset that goes in, fees in it included.';
COMMENT ON COLUMN trade_order.received IS 'Of the asset that comes out, less fees in it.';
CREATE INDEX trade_order_run_cycle ON trade_order (run, cycle, leg);
CREATE INDEX trade_order_account_intended_at ON trade_order (account, intended_at);
CREATE INDEX trade_order_unfinished ON trade_order (account) WHERE ended_at IS NULL;

CREATE TABLE execution (
    run         uuid        NOT NULL,
    account     label       NOT NULL,
    exec_id     label       NOT NULL,
    order_id    label       NOT NULL,
    client_id   label,
    cycle       bigint,
    leg         integer     NOT NULL CHECK (leg >= 0),
    booked_at   timestamptz NOT NULL,
    venue_at    timestamptz,
    symbol      label,
    side        text        CHECK (side IN ('buy', 'sell')),
    quantity    amount      NOT NULL CHECK (quantity > 0),
    price       amount      NOT NULL CHECK (price > 0),
    cost        amount      NOT NULL CHECK (cost >= 0),
    is_maker    boolean,
    is_anomaly  boolean     NOT NULL,
    PRIMARY KEY (account, exec_id),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number)
);
COMMENT ON TABLE execution IS 'Fills, each booked once.  Not partitioned: its key must hold over all time.';
COMMENT ON COLUMN execution.client_id IS 'NULL for an order that is not ours.  Refers to no row on purpose: a fill is booked whatever is known of its order.';
COMMENT ON COLUMN execution.venue_at IS 'The venue''s time, NULL where it told none.';
COMMENT ON COLUMN execution.symbol IS 'From the order where the report leaves it out; NULL if that is unknown too.  So with side.';
COMMENT ON COLUMN execution.cost IS 'Quantity times price as the venue rounded it, in quote.';
COMMENT ON COLUMN execution.is_anomaly IS 'Filled worse than its limit, or not ours.';
CREATE INDEX execution_account_booked_at ON execution (account, booked_at);
CREATE INDEX execution_run_cycle ON execution (run, cycle);
CREATE INDEX execution_client_id ON execution (account, client_id);
CREATE TRIGGER execution_is_kept BEFORE UPDATE OR DELETE ON execution
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER execution_is_kept_whole BEFORE TRUNCATE ON execution
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE execution_fee (
    run     uuid     NOT NULL,
    account label    NOT NULL,
    exec_id label    NOT NULL,
    line    smallint NOT NULL CHECK (line > 0),
    asset   label    NOT NULL,
    amount  amount   NOT NULL,
    PRIMARY KEY (account, exec_id, line),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (account, exec_id) REFERENCES execution (account, exec_id)
);
COMMENT ON TABLE execution_fee IS 'What was charged for a fill.';
COMMENT ON COLUMN execution_fee.amount IS 'Negative for a rebate.';
CREATE TRIGGER execution_fee_is_kept BEFORE UPDATE OR DELETE ON execution_fee
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER execution_fee_is_kept_whole BEFORE TRUNCATE ON execution_fee
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE unwind_decision (
    run      uuid        NOT NULL,
    account  label       NOT NULL,
    seq      bigint      NOT NULL CHECK (seq > 0),
    cycle    bigint      NOT NULL,
    at       timestamptz NOT NULL,
    reason   text        NOT NULL,
    asset    label       NOT NULL,
    amount   amount      NOT NULL,
    cost     amount      NOT NULL,
    loss_cap amount      NOT NULL,
    chosen   text        NOT NULL CHECK (chosen IN ('finish', 'reverse', 'direct', 'two_hop', 'hold')),
    PRIMARY KEY (run, seq),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, cycle) REFERENCES cycle (run, number)
);
COMMENT ON TABLE unwind_decision IS 'How a cycle got out of an asset.  Cost and cap are in its start asset.';
CREATE INDEX unwind_decision_cycle ON unwind_decision (run, cycle);

CREATE TABLE unwind_candidate (
    run       uuid     NOT NULL,
    account   label    NOT NULL,
    seq       bigint   NOT NULL,
    rank      smallint NOT NULL CHECK (rank > 0),
    kind      text     NOT NULL CHECK (kind IN ('finish', 'reverse', 'direct', 'two_hop', 'hold')),
    path      jsonb    NOT NULL,
    quotes    jsonb    NOT NULL,
    received  amount   NOT NULL,
    loss      amount   NOT NULL,
    blocked   text,
    is_chosen boolean  NOT NULL,
    PRIMARY KEY (run, seq, rank),
    FOREIGN KEY (run, account) REFERENCES run (id, account),
    FOREIGN KEY (run, seq) REFERENCES unwind_decision (run, seq)
);
COMMENT ON TABLE unwind_candidate IS 'All ways out that were looked at, best first, in the start asset.';
COMMENT ON COLUMN unwind_candidate.path IS 'Legs to take: [{symbol, side}].';
COMMENT ON COLUMN unwind_candidate.loss IS 'Cost of what is held minus received; negative for a gain.';

CREATE VIEW leg_outcome AS
SELECT l.*,
       count(o.client_id)                            AS orders,
       coalesce(sum(o.filled_quantity), 0)::numeric  AS filled_quantity,
       coalesce(sum(o.filled_cost), 0)::numeric      AS filled_cost,
       coalesce(sum(o.spent), 0)::numeric            AS actual_spent,
       coalesce(sum(o.received), 0)::numeric         AS actual_received,
       min(o.sent_at)                                AS first_sent_at,
       max(o.ended_at)                               AS last_ended_at
FROM leg l
LEFT JOIN trade_order o ON o.run = l.run AND o.cycle = l.cycle AND o.leg = l.leg AND o.role = 'leg'
GROUP BY l.run, l.cycle, l.leg;
COMMENT ON VIEW leg_outcome IS 'Legs as planned, with the sum of the orders sent for each.';
