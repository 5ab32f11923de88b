-- name: insert_log
INSERT INTO order_log (order_id, rev, from_state, cause, to_state, at_ms, by, note)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: open_logs
-- The first row in the log of new orders.
INSERT INTO order_log (order_id, rev, to_state, at_ms, by)
SELECT id, 0, 'WAITING', at_ms, $3 FROM unnest($1::uuid[], $2::bigint[]) AS n (id, at_ms)

-- name: open
-- New orders, one array per column; $1 is what all of them have been told.
INSERT INTO orders (state, rev, shown, id, partner_id, from_asset, to_asset, direction, from_units,
    to_units, rate_num, rate_den, snapshot_id, base_fee_bps, markup_bps, network_fee_units,
    min_units, max_units, destination, refund_address, token_hash, opened_ms, window_ends_ms,
    code_id, updated_ms, next_ms, share_bps)
SELECT 'WAITING', 0, $1::text[], n.*, opened_ms, window_ends_ms,
    (SELECT p.base_fee_share_bps FROM partner p WHERE p.id = n.partner_id)
  FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::numeric[],
    $8::numeric[], $9::numeric[], $10::numeric[], $11::uuid[], $12::integer[], $13::integer[],
    $14::numeric[], $15::numeric[], $16::numeric[], $17::text[], $18::text[], $19::bytea[],
    $20::bigint[], $21::bigint[], $22::uuid[])
    AS n (id, partner_id, from_asset, to_asset, direction, from_units, to_units, rate_num, rate_den,
    snapshot_id, base_fee_bps, markup_bps, network_fee_units, min_units, max_units, destination,
    refund_address, token_hash, opened_ms, window_ends_ms, code_id)

-- name: read
SELECT o.*, a.network, a.index AS address_index, a.address
  FROM orders o JOIN pay_in_address a ON a.order_id = o.id WHERE o.id = $1

-- name: read_many
-- Orders by id, and whether anything can have arrived for them or been asked.
SELECT o.*, a.network, a.index AS address_index, a.address,
       EXISTS (SELECT FROM deposit d WHERE d.order_id = o.id) AS has_deposits,
       EXISTS (SELECT FROM payout_intent i WHERE i.order_id = o.id) AS has_intents
  FROM orders o JOIN pay_in_address a ON a.order_id = o.id WHERE o.id = ANY($1::uuid[])

-- name: lock
-- Locks the order. No row: there is none.
SELECT o.*, a.network, a.index AS address_index, a.address
  FROM orders o JOIN pay_in_address a ON a.order_id = o.id WHERE o.id = $1 FOR UPDATE OF o

-- name: advance
-- Moves the order. No row comes back if somebody moved it first.
UPDATE orders SET state = $4, rev = rev + 1, updated_ms = $5, shown = $6, hold_reasons = $7,
       choice = $8, next_ms = $9, paid_ms = coalesce(paid_ms, $10)
 WHERE id = $1 AND rev = $2 AND state = $3
RETURNING rev

-- name: reprice
UPDATE orders SET from_units = $2, to_units = $3, rate_num = $4, rate_den = $5, snapshot_id = $6,
       network_fee_units = $7 WHERE id = $1

-- name: look_again
UPDATE orders SET next_ms = $2 WHERE id = $1

-- name: choose
UPDATE orders SET choice = $2, updated_ms = $3, next_ms = $4 WHERE id = $1

-- name: due
-- Orders whose time has come, oldest first. Locks nothing.
SELECT id FROM orders WHERE next_ms <= $1 ORDER BY next_ms LIMIT $2

-- name: find_keys
SELECT i.partner_id, i.key_hash, i.body_hash, i.order_id
  FROM unnest($1::uuid[], $2::bytea[]) AS k (partner_id, key_hash)
  JOIN idempotency i ON i.partner_id = k.partner_id AND i.key_hash = k.key_hash

-- name: claim_keys
-- Claims idempotency keys before their orders exist in this same transaction (deferred). Returns
-- those that were free; waits for a concurrent claimant to commit or roll back.
INSERT INTO idempotency (partner_id, key_hash, body_hash, order_id, created_ms)
SELECT k.*, $5 FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::uuid[])
    AS k (partner_id, key_hash, body_hash, order_id)
    ON CONFLICT DO NOTHING RETURNING partner_id, key_hash

-- name: unbound
-- Orders whose binding the vault has not acknowledged yet, oldest first.
SELECT o.*, a.network, a.index AS address_index, a.address
  FROM orders o JOIN pay_in_address a ON a.order_id = o.id
 WHERE o.bound_ms IS NULL ORDER BY o.opened_ms LIMIT $1

-- name: bound
-- A repeat changes nothing, not even after a purge has erased the attestation.
UPDATE orders SET bound_ms = $2, attestation = $3 WHERE id = $1 AND bound_ms IS NULL

-- name: held
-- The operator's work list: held orders, refunds without a live intent, and finished orders that
-- are still owed money.
SELECT o.*, a.network, a.index AS address_index, a.address
  FROM orders o JOIN pay_in_address a ON a.order_id = o.id
 WHERE o.state = 'HELD'
    OR (o.state = 'REFUNDING' AND NOT EXISTS (
            SELECT 1 FROM payout_intent i WHERE i.order_id = o.id AND i.ended_ms IS NULL))
    OR (o.state IN ('DONE', 'REFUNDED', 'EXPIRED') AND EXISTS (
            SELECT 1 FROM account_balance b
             WHERE b.account = 'order/' || o.id AND b.units <> 0))
 ORDER BY o.updated_ms LIMIT $1

-- name: recent
SELECT o.*, a.network, a.index AS address_index, a.address
  FROM orders o JOIN pay_in_address a ON a.order_id = o.id
 ORDER BY o.opened_ms DESC LIMIT $1

-- name: log_of
SELECT * FROM order_log WHERE order_id = $1 ORDER BY rev
