-- name: share_of
SELECT share_bps FROM orders WHERE id = $1

-- name: book
-- What an order earns, at its exchange; once more after its payout was void. Payable ones refuse.
INSERT INTO earning (order_id, partner_id, asset, markup_units, share_units, usd, volume_usd,
    booked_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (order_id) DO UPDATE SET markup_units = excluded.markup_units,
    share_units = excluded.share_units, usd = excluded.usd, volume_usd = excluded.volume_usd,
    booked_ms = excluded.booked_ms

-- name: unbook
-- The exchange was undone: nothing is earned unless there is another.
UPDATE earning SET markup_units = 0, share_units = 0, usd = 0, volume_usd = 0
 WHERE order_id = $1 AND payable_ms IS NULL

-- name: payable
-- The order is done: its earnings can be paid, and count for ever. Once.
WITH done AS (
    UPDATE earning SET payable_ms = $2 WHERE order_id = $1 AND payable_ms IS NULL
    RETURNING partner_id, volume_usd, usd
)
INSERT INTO partner_total AS t (partner_id, orders, volume_usd, earned_usd)
SELECT partner_id, 1, volume_usd, usd FROM done
ON CONFLICT (partner_id) DO UPDATE SET orders = t.orders + 1,
    volume_usd = t.volume_usd + excluded.volume_usd, earned_usd = t.earned_usd + excluded.earned_usd

-- name: of_order
SELECT asset, markup_units, share_units, usd, payable_ms, payment_id FROM earning WHERE order_id = $1

-- name: lock_partner
-- By name or id; whoever pays or clears the same partner waits.
SELECT id FROM partner WHERE name = $1 OR id::text = $1 FOR NO KEY UPDATE

-- name: set_share
UPDATE partner SET base_fee_share_bps = $2 WHERE id = $1

-- name: take_unpaid
-- Everything payable goes into the payment $2, which is written after this; summed up per asset.
WITH taken AS (
    UPDATE earning SET payment_id = $2
     WHERE partner_id = $1 AND payable_ms IS NOT NULL AND payment_id IS NULL
    RETURNING asset, markup_units + share_units AS units, usd, payable_ms
)
SELECT asset, sum(units) AS units, sum(usd) AS usd, min(payable_ms) AS first_ms
  FROM taken GROUP BY asset ORDER BY asset

-- name: insert_payment
INSERT INTO earnings_payment (id, partner_id, reference, paid_ms, from_ms, to_ms, usd)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: find_payment
SELECT id, reference, paid_ms, from_ms, to_ms, usd FROM earnings_payment
 WHERE partner_id = $1 AND reference = $2

-- name: payments
-- Newest first.
SELECT id, reference, paid_ms, from_ms, to_ms, usd FROM earnings_payment
 WHERE partner_id = $1 ORDER BY paid_ms DESC LIMIT $2

-- name: take_uncleared
-- Everything payable of the running cycle goes into the cycle $2, which is written after this.
WITH taken AS (
    UPDATE earning SET cycle_id = $2
     WHERE partner_id = $1 AND payable_ms IS NOT NULL AND cycle_id IS NULL RETURNING usd
)
SELECT count(*)::bigint AS orders, coalesce(sum(usd), 0) AS usd FROM taken

-- name: last_cleared
SELECT max(cleared_ms) FROM earnings_cycle WHERE partner_id = $1

-- name: insert_cycle
INSERT INTO earnings_cycle (id, partner_id, cleared_ms, usd) VALUES ($1, $2, $3, $4)

-- name: standings
-- Every partner, oldest first: for ever, on its way, payable, and since the cycle was cleared.
SELECT p.id AS partner_id, p.name, p.markup_bps, p.base_fee_share_bps AS share_bps,
       coalesce(t.orders, 0)::bigint AS orders, coalesce(t.volume_usd, 0) AS volume_usd,
       coalesce(t.earned_usd, 0) AS earned_usd,
       coalesce(u.pending, 0) AS pending_usd, coalesce(u.payable, 0) AS payable_usd,
       (SELECT coalesce(sum(c.usd), 0) FROM earning c
         WHERE c.partner_id = p.id AND c.payable_ms IS NOT NULL AND c.cycle_id IS NULL) AS cycle_usd
  FROM partner p LEFT JOIN partner_total t ON t.partner_id = p.id
  LEFT JOIN LATERAL (
       SELECT sum(e.usd) FILTER (WHERE e.payable_ms IS NULL) AS pending,
              sum(e.usd) FILTER (WHERE e.payable_ms IS NOT NULL) AS payable
         FROM earning e WHERE e.partner_id = p.id AND e.payment_id IS NULL) u ON true
 ORDER BY p.created_ms, p.id LIMIT $1
