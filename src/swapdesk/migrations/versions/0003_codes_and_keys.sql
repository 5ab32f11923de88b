-- Reference codes: a partner's own names for where his customers come from. A code is unique over
-- all partners, because /r/{code} names no partner. Disabled, never deleted: orders refer to it.
CREATE TABLE reference_code (
    id         uuid PRIMARY KEY,
    partner_id uuid NOT NULL REFERENCES partner,
    code       text NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9_-]{4,32}$'),
    label      text CHECK (length(label) BETWEEN 1 AND 64),
    markup_bps integer NOT NULL DEFAULT 0 CHECK (markup_bps BETWEEN 0 AND 2000), -- 0: the partner's
    enabled    boolean NOT NULL DEFAULT true,
    created_ms bigint NOT NULL
);
CREATE INDEX reference_code_partner ON reference_code (partner_id, created_ms DESC);
ALTER TABLE partner
    ADD COLUMN codes_max integer NOT NULL DEFAULT 50 CHECK (codes_max BETWEEN 0 AND 1000),
    -- counts rotations of the webhook secret, as credential.version counts those of the api secret
    ADD COLUMN webhook_version integer NOT NULL DEFAULT 1;
-- ;;
-- An order may lose everything personal (purged_ms); its row stays, because books, deposits and
-- late money refer to it. What is left: network, index, id, assets, numbers, and the token's hash.
ALTER TABLE orders
    ADD COLUMN code_id uuid REFERENCES reference_code,
    ADD COLUMN deleted_ms bigint,             -- hidden from partner and customer
    ADD COLUMN purged_ms bigint,
    ALTER COLUMN destination DROP NOT NULL,
    ADD CONSTRAINT orders_purged CHECK ((purged_ms IS NULL) = (destination IS NOT NULL)),
    DROP CONSTRAINT orders_check1,
    ADD CONSTRAINT orders_attested CHECK (
        (bound_ms IS NULL) = (attestation IS NULL) OR (attestation IS NULL AND purged_ms IS NOT NULL));
CREATE INDEX orders_purge ON orders (updated_ms)
    WHERE purged_ms IS NULL AND state IN ('DONE', 'REFUNDED', 'EXPIRED');
-- ;;
-- A purged intent has no destination, transaction or reason any more, only its numbers.
ALTER TABLE payout_intent
    ALTER COLUMN destination DROP NOT NULL,
    ADD CONSTRAINT payout_intent_purged CHECK (destination IS NOT NULL OR ended_ms IS NOT NULL),
    DROP CONSTRAINT payout_intent_check1,
    DROP CONSTRAINT payout_intent_check2,
    DROP CONSTRAINT payout_intent_check3,
    ADD CONSTRAINT payout_intent_sent CHECK (
        destination IS NULL OR (sent_ms IS NULL) = (txid IS NULL)),
    ADD CONSTRAINT payout_intent_txid CHECK (
        destination IS NULL OR outcome IS NULL OR (outcome = 'refused') = (txid IS NULL)),
    ADD CONSTRAINT payout_intent_reason CHECK (
        destination IS NULL OR (outcome = 'refused') = (reason IS NOT NULL));
CREATE INDEX idempotency_order ON idempotency (order_id);
-- ;;
-- What the operator switches for every process at once.
CREATE TABLE site_switch (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    maintenance boolean NOT NULL DEFAULT false,
    since_ms    bigint NOT NULL DEFAULT 0,
    by          text NOT NULL DEFAULT 'desk'
);
INSERT INTO site_switch DEFAULT VALUES;
-- ;;
-- Value of the orders opened in each minute, in 1/USD_SCALE dollars; kept only under a daily cap.
CREATE TABLE opened_value (
    minute bigint PRIMARY KEY,                -- minutes since 1970
    usd    units NOT NULL
);
-- ;;
GRANT SELECT, INSERT ON reference_code, opened_value TO desk_app;
GRANT SELECT ON site_switch TO desk_app;
GRANT UPDATE ON reference_code, opened_value, site_switch TO desk_app;
GRANT DELETE ON opened_value, idempotency TO desk_app;
