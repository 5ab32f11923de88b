-- Times are milliseconds since 1970 (bigint, *_ms). Money is minor units in this domain: no typmod,
-- because numeric(78,0) would round 1.5 to 2 in silence. Dollars count in 1/10**12.
CREATE DOMAIN units AS numeric
    CHECK (VALUE >= 0 AND VALUE < 1e78 AND VALUE = trunc(VALUE) AND VALUE <> 'NaN');
-- ;;
-- Written by `init`. `link_key` tells one seed from another; `fence` counts the starts.
CREATE TABLE vault_meta (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    world      text NOT NULL CHECK (world IN ('main', 'test', 'dev')),
    link_key   text NOT NULL CHECK (link_key ~ '^[0-9a-f]{64}$'),
    fence      bigint NOT NULL DEFAULT 0 CHECK (fence >= 0),
    created_ms bigint NOT NULL
);
-- ;;
CREATE FUNCTION vault_meta_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.world <> OLD.world OR NEW.link_key <> OLD.link_key
       OR NEW.created_ms <> OLD.created_ms OR NEW.fence <= OLD.fence THEN
        RAISE EXCEPTION 'a vault keeps its world and seed, and its fence only rises'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- ;;
CREATE TRIGGER vault_meta_stays BEFORE UPDATE OR DELETE ON vault_meta
    FOR EACH ROW EXECUTE FUNCTION vault_meta_stays();
-- ;;
-- A vault that was replaced but still lives carries an older fence: nothing of it is journalled.
CREATE FUNCTION fence_is_newest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fence IS DISTINCT FROM (SELECT fence FROM vault_meta) THEN
        RAISE EXCEPTION 'fence % is not the newest', NEW.fence USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- ;;
CREATE TABLE binding (
    order_id       uuid PRIMARY KEY,
    family         text NOT NULL,
    index          bigint NOT NULL CHECK (index >= 0 AND index < 2147483648),
    network        text NOT NULL,
    address        text NOT NULL,
    from_asset     text NOT NULL,
    to_asset       text NOT NULL,
    destination    text NOT NULL,
    refund_address text,
    opened_at_ms   bigint NOT NULL,
    attestation    text NOT NULL,
    stored_ms      bigint NOT NULL,
    fence          bigint NOT NULL,
    UNIQUE (family, index),
    UNIQUE (family, address),
    UNIQUE (order_id, destination),
    UNIQUE (order_id, refund_address)
);
-- ;;
-- One wish of the desk. Ends once, and with signed bytes only in the three ways of the chain.
CREATE TABLE payment (
    order_id     uuid NOT NULL,
    attempt      integer NOT NULL CHECK (attempt > 0),
    kind         text NOT NULL CHECK (kind IN ('payout', 'refund')),
    network      text NOT NULL,
    asset        text NOT NULL,
    units        units NOT NULL CHECK (units > 0),
    destination  text NOT NULL,
    covers_units units NOT NULL CHECK (covers_units > 0),
    stored_ms    bigint NOT NULL,
    fence        bigint NOT NULL,
    doubt_ms     bigint,                     -- since when its deposit cannot be verified
    trouble      text,                       -- why it is not further, in words
    tries        integer NOT NULL DEFAULT 0,
    next_ms      bigint NOT NULL,            -- when to look again
    signed_ms    bigint,
    is_signed    boolean NOT NULL GENERATED ALWAYS AS (signed_ms IS NOT NULL) STORED,
    -- what was signed goes where the order was bound to, by the two foreign keys below
    pays_to      text GENERATED ALWAYS AS
                 (CASE WHEN signed_ms IS NOT NULL AND kind = 'payout' THEN destination END) STORED,
    refunds_to   text GENERATED ALWAYS AS
                 (CASE WHEN signed_ms IS NOT NULL AND kind = 'refund' THEN destination END) STORED,
    sent_ms      bigint,
    ended_ms     bigint,
    outcome      text CHECK (outcome IN ('final', 'refused', 'conflicted', 'reverted')),
    txid         text,                       -- the variant that was sent, then the one that ended it
    reason       text,
    PRIMARY KEY (order_id, attempt),
    UNIQUE (order_id, attempt, is_signed),
    FOREIGN KEY (order_id, pays_to) REFERENCES binding (order_id, destination),
    FOREIGN KEY (order_id, refunds_to) REFERENCES binding (order_id, refund_address),
    CHECK ((ended_ms IS NULL) = (outcome IS NULL)),
    -- refused only while nothing is signed; every other end needs signed bytes
    CHECK (outcome IS NULL OR (outcome = 'refused') = (signed_ms IS NULL)),
    CHECK ((outcome IS NOT DISTINCT FROM 'refused') = (reason IS NOT NULL)),
    CHECK (sent_ms IS NULL OR signed_ms IS NOT NULL),
    CHECK ((txid IS NULL) = (sent_ms IS NULL AND (outcome IS NULL OR outcome = 'refused')))
);
-- ;;
CREATE UNIQUE INDEX payment_one_live ON payment (order_id) WHERE ended_ms IS NULL;
CREATE UNIQUE INDEX payment_one_payout ON payment (order_id)
    WHERE kind = 'payout' AND signed_ms IS NOT NULL AND (outcome IS NULL OR outcome = 'final');
CREATE INDEX payment_live ON payment (stored_ms) WHERE ended_ms IS NULL;
-- ;;
CREATE FUNCTION payment_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_ms IS NOT NULL
       OR (OLD.signed_ms IS NOT NULL AND NEW.signed_ms IS DISTINCT FROM OLD.signed_ms)
       OR (OLD.sent_ms IS NOT NULL AND NEW.sent_ms IS DISTINCT FROM OLD.sent_ms) THEN
        RAISE EXCEPTION 'payment %/% is past that', OLD.order_id, OLD.attempt
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- ;;
CREATE TRIGGER payment_moves_on BEFORE UPDATE ON payment
    FOR EACH ROW EXECUTE FUNCTION payment_moves_on();
-- ;;
-- Where the desk says that an order's deposits lie; believed only after a look at the own node.
CREATE TABLE hint (
    order_id   uuid NOT NULL,
    txid       text NOT NULL,
    position   text NOT NULL,
    block_hash text NOT NULL,                -- changes when a deposit is mined again
    PRIMARY KEY (order_id, txid, position)
);
-- ;;
-- Every variant ever signed, before it is broadcast. `is_signed` makes a refusal impossible.
CREATE TABLE signed (
    network      text NOT NULL,
    txid         text NOT NULL,
    order_id     uuid NOT NULL,
    attempt      integer NOT NULL,
    variant      integer NOT NULL CHECK (variant > 0),
    purpose      text NOT NULL CHECK (purpose IN ('pay', 'cancel')),
    raw          bytea NOT NULL,
    fee_units    units NOT NULL,             -- in the network's native asset; EVM: at most
    since_height bigint NOT NULL,            -- it cannot be in a block below
    paid_usd     units NOT NULL,
    received_usd units NOT NULL,
    late         boolean NOT NULL,
    signed_ms    bigint NOT NULL,
    fence        bigint NOT NULL,
    is_signed    boolean NOT NULL DEFAULT true CHECK (is_signed),
    PRIMARY KEY (network, txid),
    UNIQUE (order_id, attempt, variant),
    FOREIGN KEY (order_id, attempt, is_signed) REFERENCES payment (order_id, attempt, is_signed)
);
CREATE INDEX signed_recent ON signed (signed_ms);
ALTER TABLE payment ADD FOREIGN KEY (network, txid) REFERENCES signed (network, txid);
-- ;;
-- Coins and nonces belong to one payment for ever; its variants share them.
CREATE TABLE spent_input (
    network  text NOT NULL,
    txid     text NOT NULL,
    vout     bigint NOT NULL CHECK (vout >= 0),
    order_id uuid NOT NULL,
    attempt  integer NOT NULL,
    fence    bigint NOT NULL,
    PRIMARY KEY (network, txid, vout),
    FOREIGN KEY (order_id, attempt) REFERENCES payment
);
CREATE TABLE nonce (
    network  text NOT NULL,
    sender   text NOT NULL,
    nonce    bigint NOT NULL CHECK (nonce >= 0),
    order_id uuid NOT NULL,
    attempt  integer NOT NULL,
    fence    bigint NOT NULL,
    PRIMARY KEY (network, sender, nonce),
    UNIQUE (order_id, attempt),
    FOREIGN KEY (order_id, attempt) REFERENCES payment
);
-- Where a hot account stood when this journal first saw it: nonces below are not ours to explain.
CREATE TABLE hot_account (
    network     text NOT NULL,
    address     text NOT NULL,
    first_nonce bigint NOT NULL CHECK (first_nonce >= 0),
    fence       bigint NOT NULL,
    PRIMARY KEY (network, address)
);
-- ;;
-- What the vault's own look at the chain found; can be forgotten and read again, so no journal.
CREATE TABLE hot_block (
    network text NOT NULL,
    height  bigint NOT NULL CHECK (height >= 0),
    hash    text NOT NULL,
    PRIMARY KEY (network, height)
);
CREATE TABLE hot_coin (
    network text NOT NULL,
    txid    text NOT NULL,
    vout    bigint NOT NULL CHECK (vout >= 0),
    units   units NOT NULL,
    height  bigint NOT NULL,
    PRIMARY KEY (network, txid, vout)
);
CREATE INDEX hot_coin_height ON hot_coin (network, height);
-- ;;
CREATE TABLE report (
    order_id    uuid NOT NULL,
    attempt     integer NOT NULL,
    outcome     text NOT NULL
                CHECK (outcome IN ('sent', 'final', 'refused', 'conflicted', 'reverted')),
    txid        text,
    fee_units   units NOT NULL,
    reason      text,
    made_ms     bigint NOT NULL,
    fence       bigint NOT NULL,
    accepted_ms bigint,
    PRIMARY KEY (order_id, attempt, outcome),
    FOREIGN KEY (order_id, attempt) REFERENCES payment,
    CHECK ((outcome = 'refused') = (reason IS NOT NULL)),
    CHECK ((outcome = 'refused') = (txid IS NULL))
);
CREATE INDEX report_due ON report (made_ms) WHERE accepted_ms IS NULL;
-- ;;
-- What happened that somebody may ask about: holds, refusals, alarms.
CREATE TABLE event (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms    bigint NOT NULL,
    fence    bigint NOT NULL,
    kind     text NOT NULL,
    order_id uuid,
    attempt  integer,
    detail   text NOT NULL
);
CREATE INDEX event_order ON event (order_id) WHERE order_id IS NOT NULL;
-- ;;
-- A vault that stopped stays stopped. Only the operator, as owner of the database, clears it.
CREATE TABLE stop (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms  bigint NOT NULL,
    fence  bigint NOT NULL,
    reason text NOT NULL
);
CREATE TABLE resumed (
    stop_id bigint PRIMARY KEY REFERENCES stop,
    at_ms   bigint NOT NULL,
    reason  text NOT NULL CHECK (length(reason) > 0)
);
-- The operator's word on a held payment: pay in spite of caps and lateness, or refuse.
CREATE TABLE verdict (
    order_id uuid NOT NULL,
    attempt  integer NOT NULL,
    verdict  text NOT NULL CHECK (verdict IN ('approve', 'refuse')),
    at_ms    bigint NOT NULL,
    reason   text NOT NULL CHECK (length(reason) > 0),
    PRIMARY KEY (order_id, attempt),
    FOREIGN KEY (order_id, attempt) REFERENCES payment
);
-- ;;
DO $$
DECLARE room text;
BEGIN
    FOREACH room IN ARRAY ARRAY['binding', 'payment', 'signed', 'spent_input', 'nonce',
                                'hot_account', 'report', 'event', 'stop'] LOOP
        EXECUTE format('CREATE TRIGGER fence_is_newest BEFORE INSERT ON %I
                        FOR EACH ROW EXECUTE FUNCTION fence_is_newest()', room);
    END LOOP;
END $$;
-- ;;
-- The runtime role owns nothing, and can neither change nor forget what was bound or signed.
GRANT USAGE ON SCHEMA public TO vault_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vault_app;
GRANT INSERT ON binding, payment, hint, signed, spent_input, nonce, hot_account, hot_block,
    hot_coin, report, event, stop TO vault_app;
GRANT UPDATE (fence) ON vault_meta TO vault_app;
GRANT UPDATE (block_hash) ON hint TO vault_app;
GRANT UPDATE (doubt_ms, trouble, tries, next_ms, signed_ms, sent_ms, ended_ms, outcome, txid,
    reason) ON payment TO vault_app;
GRANT UPDATE (accepted_ms) ON report TO vault_app;
GRANT DELETE ON hot_block, hot_coin TO vault_app;
