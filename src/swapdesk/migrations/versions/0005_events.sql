-- What happened (webhook_event: written once) and taking it to a receiver (webhook_delivery) are
-- two tables: the first is the partner's event log, the second a queue that is written all the time.
CREATE TABLE webhook_delivery (
    event_id     uuid PRIMARY KEY REFERENCES webhook_event ON DELETE CASCADE,
    partner_id   uuid NOT NULL REFERENCES partner,
    order_id     uuid,
    created_ms   bigint NOT NULL,            -- of the event: the order within an order
    due_ms       bigint NOT NULL,
    leased_ms    bigint,                     -- somebody is delivering it, until then
    attempt      integer NOT NULL DEFAULT 0,
    delivered_ms bigint,
    dead_ms      bigint,                     -- given up; redelivery brings it back
    last_error   text,
    CHECK (delivered_ms IS NULL OR dead_ms IS NULL),
    CHECK (leased_ms IS NULL OR (delivered_ms IS NULL AND dead_ms IS NULL))
);
INSERT INTO webhook_delivery (event_id, partner_id, order_id, created_ms, due_ms, attempt,
                              delivered_ms, dead_ms, last_error)
SELECT id, partner_id, order_id, created_ms, due_ms, attempt, delivered_ms, dead_ms, last_error
  FROM webhook_event;
CREATE INDEX webhook_delivery_due ON webhook_delivery (partner_id, due_ms, created_ms)
    WHERE delivered_ms IS NULL AND dead_ms IS NULL;
CREATE INDEX webhook_delivery_order ON webhook_delivery (order_id, created_ms)
    WHERE delivered_ms IS NULL AND dead_ms IS NULL AND order_id IS NOT NULL;
CREATE INDEX webhook_delivery_leased ON webhook_delivery (partner_id) WHERE leased_ms IS NOT NULL;
CREATE INDEX webhook_delivery_dead ON webhook_delivery (dead_ms) WHERE dead_ms IS NOT NULL;
-- ;;
-- An event: seq is given by one worker after the event is committed (null until then); body is null
-- once its order was removed. status is what receivers dedupe on: an order status, or a time.
DROP INDEX webhook_event_due, webhook_event_order;
ALTER TABLE webhook_event
    DROP COLUMN due_ms, DROP COLUMN attempt, DROP COLUMN delivered_ms, DROP COLUMN dead_ms,
    DROP COLUMN last_error,
    ALTER COLUMN body DROP NOT NULL,
    ADD COLUMN seq bigint CHECK (seq > 0),
    ADD CONSTRAINT webhook_event_seq UNIQUE (partner_id, seq);
CREATE UNIQUE INDEX webhook_event_once ON webhook_event (partner_id, event, status)
    WHERE order_id IS NULL;
CREATE INDEX webhook_event_unnumbered ON webhook_event (partner_id, created_ms, id)
    WHERE seq IS NULL;
CREATE INDEX webhook_event_created ON webhook_event (created_ms);
-- ;;
-- One row per partner in each: the last number given, and how its endpoint is doing. Locking the
-- row makes one worker at a time number, or lease, the events of that partner.
CREATE TABLE event_counter (
    partner_id uuid PRIMARY KEY REFERENCES partner,
    last_seq   bigint NOT NULL DEFAULT 0
);
CREATE TABLE webhook_line (
    partner_id uuid PRIMARY KEY REFERENCES partner,
    failures   integer NOT NULL DEFAULT 0,   -- deliveries failed since the last that succeeded
    served_ms  bigint NOT NULL DEFAULT 0     -- who was served longest ago comes first
);
-- ;;
-- Rows that exist from the start are never waited for: an upsert in `tell` would make the second
-- transaction that tells something wait for the first.
CREATE FUNCTION partner_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO event_counter (partner_id) VALUES (NEW.id);
    INSERT INTO webhook_line (partner_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
-- ;;
CREATE TRIGGER partner_lines AFTER INSERT ON partner
    FOR EACH ROW EXECUTE FUNCTION partner_lines();
INSERT INTO event_counter (partner_id) SELECT id FROM partner;
INSERT INTO webhook_line (partner_id) SELECT id FROM partner;
-- ;;
-- Ed25519 keys, one live per partner: a key of the whole site would let one partner pass on what
-- it was told as if it had been told to another. A retired key signs on for an overlap.
CREATE TABLE webhook_key (
    id             uuid PRIMARY KEY,
    partner_id     uuid NOT NULL REFERENCES partner,
    public_key     bytea NOT NULL CHECK (octet_length(public_key) = 32),
    private_sealed bytea NOT NULL,
    created_ms     bigint NOT NULL,
    retired_ms     bigint
);
CREATE UNIQUE INDEX webhook_key_current ON webhook_key (partner_id) WHERE retired_ms IS NULL;
CREATE INDEX webhook_key_partner ON webhook_key (partner_id);
-- ;;
ALTER TABLE partner ADD CONSTRAINT partner_webhook_events CHECK
    (webhook_events <@ '{order.status_changed,partner.paid_out,earnings.cleared}'::text[]);
-- ;;
GRANT SELECT, INSERT ON webhook_delivery, webhook_key TO desk_app;
GRANT SELECT ON event_counter, webhook_line TO desk_app;
GRANT UPDATE ON webhook_delivery, webhook_key, event_counter, webhook_line TO desk_app;
GRANT DELETE ON webhook_event, webhook_delivery, webhook_key TO desk_app;
