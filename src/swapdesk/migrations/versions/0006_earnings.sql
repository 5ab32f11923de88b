-- A partner may have a part of the base fee besides his markup. An order keeps the part that was
-- agreed when it opened.
ALTER TABLE partner ADD COLUMN base_fee_share_bps integer NOT NULL DEFAULT 0
    CHECK (base_fee_share_bps BETWEEN 0 AND 10000);
ALTER TABLE orders ADD COLUMN share_bps integer NOT NULL DEFAULT 0
    CHECK (share_bps BETWEEN 0 AND 10000);
-- What feeds and prices take off the reserve.
CREATE INDEX orders_confirming ON orders (to_asset) WHERE state = 'CONFIRMING';
-- ;;
-- Money is in 1/USD_SCALE dollars where a column is called usd, in minor units of `asset` elsewhere.
CREATE TABLE earnings_payment (
    id         uuid PRIMARY KEY,
    partner_id uuid NOT NULL REFERENCES partner,
    reference  text NOT NULL CHECK (length(reference) BETWEEN 1 AND 200),
    paid_ms    bigint NOT NULL,
    from_ms    bigint NOT NULL,               -- the period it pays for
    to_ms      bigint NOT NULL,
    usd        units NOT NULL,
    UNIQUE (partner_id, reference),           -- the same payment is booked once
    UNIQUE (partner_id, paid_ms),             -- receivers tell payments apart by it
    CHECK (from_ms <= to_ms)
);
CREATE TABLE earnings_cycle (
    id         uuid PRIMARY KEY,
    partner_id uuid NOT NULL REFERENCES partner,
    cleared_ms bigint NOT NULL,
    usd        units NOT NULL,
    UNIQUE (partner_id, cleared_ms)
);
-- One row per order that was exchanged, also when its partner earns nothing: lifetime totals count
-- its volume. Payable once the payout is final. Kept for ever, like postings; nothing personal.
CREATE TABLE earning (
    order_id     uuid PRIMARY KEY REFERENCES orders,
    partner_id   uuid NOT NULL REFERENCES partner,
    asset        text NOT NULL,
    markup_units units NOT NULL,
    share_units  units NOT NULL,
    usd          units NOT NULL,              -- both, at the price of the exchange
    volume_usd   units NOT NULL,
    booked_ms    bigint NOT NULL,
    payable_ms   bigint,
    payment_id   uuid REFERENCES earnings_payment DEFERRABLE INITIALLY DEFERRED,
    cycle_id     uuid REFERENCES earnings_cycle DEFERRABLE INITIALLY DEFERRED,
    CHECK (payable_ms IS NOT NULL OR (payment_id IS NULL AND cycle_id IS NULL))
);
CREATE INDEX earning_unpaid ON earning (partner_id) WHERE payment_id IS NULL;
CREATE INDEX earning_uncleared ON earning (partner_id) WHERE payable_ms IS NOT NULL AND cycle_id IS NULL;
-- What a partner ever brought and earned, over orders that are done. Never goes down.
CREATE TABLE partner_total (
    partner_id uuid PRIMARY KEY REFERENCES partner,
    orders     bigint NOT NULL CHECK (orders >= 0),
    volume_usd units NOT NULL,
    earned_usd units NOT NULL
);
-- ;;
CREATE FUNCTION earning_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.payable_ms IS NOT NULL AND (
            (OLD.order_id, OLD.partner_id, OLD.asset, OLD.markup_units, OLD.share_units, OLD.usd,
             OLD.volume_usd, OLD.payable_ms) IS DISTINCT FROM
            (NEW.order_id, NEW.partner_id, NEW.asset, NEW.markup_units, NEW.share_units, NEW.usd,
             NEW.volume_usd, NEW.payable_ms)
            OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS DISTINCT FROM OLD.payment_id)
            OR (OLD.cycle_id IS NOT NULL AND NEW.cycle_id IS DISTINCT FROM OLD.cycle_id)) THEN
        RAISE EXCEPTION 'what order % earned is settled', OLD.order_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER earning_stays BEFORE UPDATE ON earning
    FOR EACH ROW EXECUTE FUNCTION earning_stays();
-- ;;
CREATE FUNCTION partner_total_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.partner_id <> OLD.partner_id OR NEW.orders < OLD.orders
            OR NEW.volume_usd < OLD.volume_usd OR NEW.earned_usd < OLD.earned_usd THEN
        RAISE EXCEPTION 'totals of partner % never go down', OLD.partner_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER partner_total_grows BEFORE UPDATE ON partner_total
    FOR EACH ROW EXECUTE FUNCTION partner_total_grows();
-- ;;
GRANT SELECT, INSERT ON earning, earnings_payment, earnings_cycle, partner_total TO desk_app;
GRANT UPDATE ON earning, partner_total TO desk_app;
