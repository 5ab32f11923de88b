-- Times are milliseconds since 1970 (bigint, *_ms). Money is minor units in the domains below:
-- no typmod, because numeric(78,0) would round 1.5 to 2 in silence.
CREATE DOMAIN units AS numeric
    CHECK (VALUE >= 0 AND VALUE < 1e78 AND VALUE = trunc(VALUE) AND VALUE <> 'NaN');
-- ;;
CREATE DOMAIN signed_units AS numeric
    CHECK (VALUE > -1e78 AND VALUE < 1e78 AND VALUE = trunc(VALUE) AND VALUE <> 'NaN');
-- ;;
CREATE TABLE partner (
    id                  uuid PRIMARY KEY,
    name                text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    enabled             boolean NOT NULL DEFAULT true,
    markup_bps          integer NOT NULL DEFAULT 0 CHECK (markup_bps BETWEEN 0 AND 2000),
    weight_per_minute   integer NOT NULL DEFAULT 2500 CHECK (weight_per_minute > 0),
    webhook_url         text,
    webhook_events      text[] NOT NULL DEFAULT '{order.status_changed}',
    webhook_secret_sealed bytea NOT NULL,
    created_ms          bigint NOT NULL
);
-- ;;
CREATE TABLE credential (
    id            uuid PRIMARY KEY,
    partner_id    uuid NOT NULL REFERENCES partner,
    dialect       text NOT NULL CHECK (dialect IN ('signed_v1')),
    -- no dot can occur: the wire splits apiKey.code at the first one
    api_key       text NOT NULL UNIQUE CHECK (api_key ~ '^[A-Za-z0-9_-]{16,64}$'),
    secret_sealed bytea NOT NULL,
    version       integer NOT NULL DEFAULT 1,
    enabled       boolean NOT NULL DEFAULT true,
    created_ms    bigint NOT NULL
);
-- ;;
CREATE TABLE nonce (
    partner_id uuid NOT NULL REFERENCES partner,
    nonce      text NOT NULL CHECK (octet_length(nonce) BETWEEN 16 AND 64),
    used_ms    bigint NOT NULL,
    PRIMARY KEY (partner_id, nonce)
);
CREATE INDEX nonce_used ON nonce (used_ms);
-- ;;
-- Weight charged per partner and second; the budget is the sum over the last 60 seconds.
CREATE TABLE weight_charge (
    partner_id uuid NOT NULL REFERENCES partner,
    at_second  bigint NOT NULL,
    weight     integer NOT NULL CHECK (weight > 0),
    PRIMARY KEY (partner_id, at_second)
);
-- ;;
CREATE TABLE rate_snapshot (
    id       uuid PRIMARY KEY,
    taken_ms bigint NOT NULL,
    body     bytea NOT NULL
);
CREATE INDEX rate_snapshot_newest ON rate_snapshot (taken_ms DESC);
-- ;;
-- Filled from orders/states.py at every migrate. A move that is not here cannot be logged.
CREATE TABLE allowed_move (
    from_state text NOT NULL,
    cause      text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, cause),
    UNIQUE (from_state, cause, to_state)
);
-- ;;
CREATE TABLE orders (
    id                uuid PRIMARY KEY,
    partner_id        uuid NOT NULL REFERENCES partner,
    state             text NOT NULL,
    rev               integer NOT NULL CHECK (rev >= 0),
    shown             text[] NOT NULL,        -- statuses told on the wire, in order; none recurs
    from_asset        text NOT NULL,
    to_asset          text NOT NULL CHECK (to_asset <> from_asset),
    direction         text NOT NULL CHECK (direction IN ('from', 'to')),
    from_units        units NOT NULL CHECK (from_units > 0),
    to_units          units NOT NULL CHECK (to_units > 0),
    rate_num          units NOT NULL CHECK (rate_num > 0),
    rate_den          units NOT NULL CHECK (rate_den > 0),
    snapshot_id       uuid NOT NULL REFERENCES rate_snapshot,
    base_fee_bps      integer NOT NULL CHECK (base_fee_bps BETWEEN 0 AND 10000),
    markup_bps        integer NOT NULL CHECK (markup_bps BETWEEN 0 AND 2000),
    network_fee_units units NOT NULL,         -- in to_asset, part of the price
    min_units         units NOT NULL,         -- bounds of the deposit, in from_asset
    max_units         units NOT NULL,
    destination       text NOT NULL,
    refund_address    text,
    token_hash        bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    opened_ms         bigint NOT NULL,
    window_ends_ms    bigint NOT NULL,
    updated_ms        bigint NOT NULL,
    paid_ms           bigint,                 -- payout broadcast
    next_ms           bigint,                 -- when to look again without being told; null: never
    hold_reasons      text[] NOT NULL DEFAULT '{}',
    choice            text NOT NULL DEFAULT 'NONE' CHECK (choice IN ('NONE', 'EXCHANGE', 'REFUND')),
    bound_ms          bigint,                 -- the vault has stored the binding
    attestation       text,                   -- its signature over it, hex
    CHECK ((bound_ms IS NULL) = (attestation IS NULL)),
    CHECK (max_units >= min_units),
    CHECK (state <> 'HELD' OR cardinality(hold_reasons) > 0)
);
CREATE INDEX orders_next ON orders (next_ms) WHERE next_ms IS NOT NULL;
CREATE INDEX orders_unbound ON orders (opened_ms) WHERE bound_ms IS NULL;
CREATE INDEX orders_held ON orders (updated_ms) WHERE state IN ('HELD', 'REFUNDING');
-- ;;
-- Every move, once. Each row continues the one before it, and only by a declared move.
CREATE TABLE order_log (
    order_id   uuid NOT NULL,
    rev        integer NOT NULL CHECK (rev >= 0),
    prev_rev   integer GENERATED ALWAYS AS (CASE WHEN rev > 0 THEN rev - 1 END) STORED,
    from_state text,
    cause      text,
    to_state   text NOT NULL,
    at_ms      bigint NOT NULL,
    by         text NOT NULL DEFAULT 'desk',  -- who chose, where somebody did
    note       text,
    PRIMARY KEY (order_id, rev),
    UNIQUE (order_id, rev, to_state),
    FOREIGN KEY (order_id, prev_rev, from_state) REFERENCES order_log (order_id, rev, to_state),
    FOREIGN KEY (from_state, cause, to_state) REFERENCES allowed_move (from_state, cause, to_state),
    CHECK ((rev = 0) = (from_state IS NULL)),
    CHECK ((rev = 0) = (cause IS NULL)),
    CHECK (rev > 0 OR to_state = 'WAITING')
);
ALTER TABLE orders ADD FOREIGN KEY (id, rev, state)
    REFERENCES order_log (order_id, rev, to_state) DEFERRABLE INITIALLY DEFERRED;
-- ;;
-- Kept for ever: an address never changes hands.
CREATE TABLE pay_in_address (
    family   text NOT NULL,
    index    bigint NOT NULL CHECK (index >= 0 AND index < 2147483648),
    network  text NOT NULL,                   -- where the order expects its money
    address  text NOT NULL,
    order_id uuid NOT NULL UNIQUE,
    asset    text NOT NULL,
    PRIMARY KEY (family, index),
    UNIQUE (family, address)
);
-- ;;
CREATE TABLE idempotency (
    partner_id uuid NOT NULL REFERENCES partner,
    key_hash   bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    body_hash  bytea NOT NULL CHECK (octet_length(body_hash) = 32),
    order_id   uuid NOT NULL REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
    created_ms bigint NOT NULL,
    PRIMARY KEY (partner_id, key_hash)
);
-- ;;
-- One row per output that ever paid one of our addresses. The block is an attribute.
CREATE TABLE deposit (
    network       text NOT NULL,
    txid          text NOT NULL,
    position      text NOT NULL,
    order_id      uuid NOT NULL REFERENCES pay_in_address (order_id),
    asset         text NOT NULL,
    address       text NOT NULL,
    units         units NOT NULL CHECK (units > 0),
    first_seen_ms bigint NOT NULL,
    block_hash    text,                       -- null: waiting in a mempool, or gone
    block_height  bigint,
    gone          boolean NOT NULL DEFAULT false,
    final_ms      bigint,                     -- credited in the books
    credit_rev    integer NOT NULL DEFAULT 0, -- how often it was credited or taken back
    PRIMARY KEY (network, txid, position),
    CHECK ((block_hash IS NULL) = (block_height IS NULL)),
    CHECK (final_ms IS NULL OR block_hash IS NOT NULL),
    CHECK (NOT gone OR block_hash IS NULL)
);
CREATE INDEX deposit_order ON deposit (order_id);
CREATE INDEX deposit_open ON deposit (network, block_height) WHERE final_ms IS NULL AND NOT gone;
CREATE INDEX deposit_height ON deposit (network, block_height);
-- ;;
CREATE TABLE chain_cursor (
    network    text PRIMARY KEY,
    height     bigint NOT NULL,               -- last block fully processed
    hash       text NOT NULL,
    tip_height bigint NOT NULL,
    synced_ms  bigint NOT NULL                -- last time the cursor stood at the tip
);
CREATE TABLE chain_block (
    network text NOT NULL,
    height  bigint NOT NULL,
    hash    text NOT NULL,
    PRIMARY KEY (network, height)
);
-- ;;
CREATE TABLE payout_intent (
    order_id     uuid NOT NULL REFERENCES orders,
    attempt      integer NOT NULL CHECK (attempt > 0),
    kind         text NOT NULL CHECK (kind IN ('payout', 'refund')),
    asset        text NOT NULL,
    units        units NOT NULL CHECK (units > 0),
    destination  text NOT NULL,
    covers_units units NOT NULL CHECK (covers_units > 0),
    asked_ms     bigint NOT NULL,
    acked_ms     bigint,
    sent_ms      bigint,
    txid         text,
    ended_ms     bigint,
    outcome      text CHECK (outcome IN ('final', 'refused', 'conflicted', 'reverted')),
    fee_units    units NOT NULL DEFAULT 0,
    reason       text,
    PRIMARY KEY (order_id, attempt),
    CHECK ((ended_ms IS NULL) = (outcome IS NULL)),
    CHECK ((sent_ms IS NULL) = (txid IS NULL)),
    CHECK (outcome IS NULL OR (outcome = 'refused') = (txid IS NULL)),
    CHECK ((outcome = 'refused') = (reason IS NOT NULL))
);
-- One live intent per order, whatever its kind: a payout and a refund exclude each other.
CREATE UNIQUE INDEX payout_intent_one_live ON payout_intent (order_id) WHERE ended_ms IS NULL;
CREATE UNIQUE INDEX payout_intent_one_paid ON payout_intent (order_id)
    WHERE outcome = 'final' AND kind = 'payout';
CREATE INDEX payout_intent_unacked ON payout_intent (asked_ms)
    WHERE acked_ms IS NULL AND ended_ms IS NULL;
-- ;;
CREATE TABLE ledger_entry (
    id       uuid PRIMARY KEY,
    key      text NOT NULL UNIQUE,            -- the same fact posts once
    kind     text NOT NULL,
    order_id uuid,
    at_ms    bigint NOT NULL
);
CREATE INDEX ledger_entry_order ON ledger_entry (order_id) WHERE order_id IS NOT NULL;
CREATE TABLE posting (
    entry_id uuid NOT NULL REFERENCES ledger_entry,
    line     integer NOT NULL CHECK (line >= 0),
    account  text NOT NULL,
    asset    text NOT NULL,
    units    signed_units NOT NULL CHECK (units <> 0),  -- + what we have, - what we owe or earned
    PRIMARY KEY (entry_id, line)
);
CREATE INDEX posting_account ON posting (account, asset);
CREATE TABLE account_balance (
    account text NOT NULL,
    asset   text NOT NULL,
    units   signed_units NOT NULL,
    PRIMARY KEY (account, asset),
    -- an order is owed money or nothing; it never owes us
    CHECK (account NOT LIKE 'order/%' OR units <= 0)
);
CREATE INDEX account_balance_open ON account_balance (account) WHERE units <> 0;
-- ;;
CREATE FUNCTION posting_balance() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO account_balance (account, asset, units) VALUES (NEW.account, NEW.asset, 0)
        ON CONFLICT DO NOTHING;
    UPDATE account_balance SET units = units + NEW.units
        WHERE account = NEW.account AND asset = NEW.asset;
    RETURN NULL;
END $$;
-- ;;
CREATE TRIGGER posting_balance AFTER INSERT ON posting
    FOR EACH ROW EXECUTE FUNCTION posting_balance();
-- ;;
CREATE FUNCTION posting_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM posting WHERE entry_id = NEW.entry_id
               GROUP BY asset HAVING sum(units) <> 0) THEN
        RAISE EXCEPTION 'ledger entry % does not balance', NEW.entry_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
-- ;;
CREATE CONSTRAINT TRIGGER posting_sums_to_zero AFTER INSERT ON posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION posting_sums_to_zero();
-- ;;
CREATE TABLE webhook_event (
    id              uuid PRIMARY KEY,
    partner_id      uuid NOT NULL REFERENCES partner,
    order_id        uuid REFERENCES orders,
    event           text NOT NULL,
    status          text,
    body            bytea NOT NULL,           -- frozen: what was true when it happened
    created_ms      bigint NOT NULL,
    due_ms          bigint NOT NULL,
    attempt         integer NOT NULL DEFAULT 0,
    delivered_ms    bigint,
    dead_ms         bigint,
    last_error      text,
    UNIQUE (order_id, status)
);
CREATE INDEX webhook_event_due ON webhook_event (due_ms)
    WHERE delivered_ms IS NULL AND dead_ms IS NULL;
CREATE INDEX webhook_event_order ON webhook_event (order_id, created_ms)
    WHERE delivered_ms IS NULL AND dead_ms IS NULL;
-- ;;
-- What the vault last said. One row each; reserves are what pairs and feeds offer.
CREATE TABLE vault_beat (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    fence    bigint NOT NULL,
    at_ms    bigint NOT NULL,
    stopped  text
);
CREATE TABLE hot_balance (
    asset text PRIMARY KEY,
    units units NOT NULL,
    at_ms bigint NOT NULL
);
CREATE TABLE link_nonce (
    nonce   text PRIMARY KEY CHECK (octet_length(nonce) BETWEEN 16 AND 64),
    used_ms bigint NOT NULL
);
CREATE INDEX link_nonce_used ON link_nonce (used_ms);
-- ;;
-- The runtime role owns nothing, and can neither change nor forget what was logged or posted.
GRANT USAGE ON SCHEMA public TO desk_app;
GRANT SELECT, INSERT ON partner, credential, nonce, weight_charge, rate_snapshot, orders,
    order_log, pay_in_address, idempotency, deposit, chain_cursor, chain_block, payout_intent,
    ledger_entry, posting, webhook_event, vault_beat, hot_balance, link_nonce TO desk_app;
GRANT SELECT ON allowed_move, account_balance, alembic_version TO desk_app;
GRANT UPDATE ON partner, credential, weight_charge, orders, deposit, chain_cursor, chain_block,
    payout_intent, webhook_event, vault_beat, hot_balance TO desk_app;
GRANT DELETE ON nonce, weight_charge, chain_block, link_nonce, rate_snapshot TO desk_app;
-- ;;
-- One sequence per key family. A rolled-back order leaves a hole; an index is never used twice.
CREATE SEQUENCE deposit_index_bitcoin  MINVALUE 0 START 0 MAXVALUE 2147483647;
CREATE SEQUENCE deposit_index_litecoin MINVALUE 0 START 0 MAXVALUE 2147483647;
CREATE SEQUENCE deposit_index_dogecoin MINVALUE 0 START 0 MAXVALUE 2147483647;
CREATE SEQUENCE deposit_index_evm      MINVALUE 0 START 0 MAXVALUE 2147483647;
CREATE SEQUENCE deposit_index_tron     MINVALUE 0 START 0 MAXVALUE 2147483647;
CREATE SEQUENCE deposit_index_monero   MINVALUE 0 START 0 MAXVALUE 2147483647;
GRANT USAGE ON SEQUENCE deposit_index_bitcoin, deposit_index_litecoin, deposit_index_dogecoin,
    deposit_index_evm, deposit_index_tron, deposit_index_monero TO desk_app;
