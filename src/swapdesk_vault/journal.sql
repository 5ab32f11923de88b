-- name: raise_fence
UPDATE vault_meta SET fence = fence + 1 RETURNING fence, world, link_key

-- name: bind
INSERT INTO binding (order_id, family, index, network, address, from_asset, to_asset, destination,
                     refund_address, opened_at_ms, attestation, stored_ms, fence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT DO NOTHING

-- name: bound
SELECT order_id, network, index, address, from_asset, to_asset, destination, refund_address,
       opened_at_ms, stored_ms
  FROM binding WHERE order_id = $1

-- name: index_taken
SELECT order_id FROM binding WHERE family = $1 AND (index = $2 OR address = $3)

-- name: owns
SELECT EXISTS (SELECT 1 FROM binding WHERE family = $1 AND address = $2)

-- name: accept
INSERT INTO payment (order_id, attempt, kind, network, asset, units, destination, covers_units,
                     stored_ms, fence, next_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9)
ON CONFLICT DO NOTHING RETURNING 1

-- name: accept_refused
-- An attempt beside a live one: journalled, answered, never paid.
INSERT INTO payment (order_id, attempt, kind, network, asset, units, destination, covers_units,
                     stored_ms, fence, next_ms, ended_ms, outcome, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9, $9, 'refused', $11)

-- name: known
SELECT kind, asset, units, destination, covers_units
  FROM payment WHERE order_id = $1 AND attempt = $2

-- name: hint
-- A known deposit may change its block; new ones are taken up to a limit.
INSERT INTO hint (order_id, txid, position, block_hash)
SELECT $1, $2, $3, $4
 WHERE (SELECT count(*) FROM hint WHERE order_id = $1) < $5
    OR EXISTS (SELECT 1 FROM hint WHERE (order_id, txid, position) = ($1, $2, $3))
ON CONFLICT (order_id, txid, position) DO UPDATE SET block_hash = excluded.block_hash

-- name: hints
SELECT txid, position, block_hash FROM hint WHERE order_id = $1 ORDER BY txid, position

-- name: live
SELECT p.order_id, p.attempt, p.kind, p.network, p.asset, p.units, p.destination, p.covers_units,
       p.stored_ms, p.doubt_ms, p.trouble, p.tries, p.next_ms, p.signed_ms, p.sent_ms, v.verdict
  FROM payment p LEFT JOIN verdict v USING (order_id, attempt)
 WHERE p.ended_ms IS NULL ORDER BY p.stored_ms, p.order_id

-- name: answered
-- What other payments of the order took from its deposit address, and whether they were payouts.
SELECT kind, covers_units FROM payment
 WHERE order_id = $1 AND attempt <> $2
   AND (ended_ms IS NULL OR outcome = 'final')

-- name: spending
SELECT count(*) FILTER (WHERE signed_ms > $1) AS hour_count,
       coalesce(sum(paid_usd) FILTER (WHERE signed_ms > $1), 0) AS hour_usd,
       coalesce(sum(paid_usd), 0) AS day_usd,
       coalesce(sum(paid_usd - received_usd) FILTER (WHERE signed_ms > $1), 0) AS hour_loss_usd,
       coalesce(sum(paid_usd - received_usd), 0) AS day_loss_usd,
       coalesce(sum(paid_usd) FILTER (WHERE signed_ms > $1 AND late), 0) AS late_hour_usd,
       coalesce(sum(paid_usd) FILTER (WHERE asset = $3), 0) AS asset_day_usd
  FROM signed JOIN payment p USING (order_id, attempt, signed_ms)
 WHERE signed_ms > $2

-- name: trouble
UPDATE payment SET trouble = $3, doubt_ms = $4, tries = tries + 1, next_ms = $5
 WHERE order_id = $1 AND attempt = $2

-- name: refuse
UPDATE payment SET ended_ms = $3, outcome = 'refused', reason = $4
 WHERE order_id = $1 AND attempt = $2

-- name: mark_signed
UPDATE payment SET signed_ms = $3, next_ms = $3, tries = 0, trouble = NULL, doubt_ms = NULL
 WHERE order_id = $1 AND attempt = $2 AND signed_ms IS NULL AND ended_ms IS NULL RETURNING 1

-- name: keep_signed
INSERT INTO signed (network, txid, order_id, attempt, variant, purpose, raw, fee_units,
                    since_height, paid_usd, received_usd, late, signed_ms, fence)
VALUES ($1, $2, $3, $4, 1, 'pay', $5, $6, $7, $8, $9, $10, $11, $12)

-- name: keep_cancel
-- Spends the same coins or nonce back to ourselves. Its worth is nothing: it pays nobody.
INSERT INTO signed (network, txid, order_id, attempt, variant, purpose, raw, fee_units,
                    since_height, paid_usd, received_usd, late, signed_ms, fence)
SELECT $1, $2, $3, $4, max(variant) + 1, 'cancel', $5, $6, $7, 0, 0, false, $8, $9
  FROM signed WHERE order_id = $3 AND attempt = $4

-- name: claim_input
INSERT INTO spent_input (network, txid, vout, order_id, attempt, fence)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: claim_nonce
INSERT INTO nonce (network, sender, nonce, order_id, attempt, fence)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: variants
SELECT txid, raw, purpose, fee_units, since_height
  FROM signed WHERE order_id = $1 AND attempt = $2 ORDER BY variant

-- name: sent
UPDATE payment SET sent_ms = $3, txid = $4, trouble = NULL, tries = 0, next_ms = $5
 WHERE order_id = $1 AND attempt = $2 AND sent_ms IS NULL RETURNING 1

-- name: rebroadcast
UPDATE payment SET trouble = NULL, tries = 0, next_ms = $3 WHERE order_id = $1 AND attempt = $2

-- name: end
UPDATE payment SET ended_ms = $3, outcome = $4, txid = $5, trouble = NULL
 WHERE order_id = $1 AND attempt = $2

-- name: report
INSERT INTO report (order_id, attempt, outcome, txid, fee_units, reason, made_ms, fence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: reports_due
SELECT order_id, attempt, outcome, txid, fee_units, reason FROM report WHERE accepted_ms IS NULL
 ORDER BY made_ms, order_id, attempt, outcome DESC LIMIT $1

-- name: accepted
UPDATE report SET accepted_ms = $4
 WHERE order_id = $1 AND attempt = $2 AND outcome = $3 AND accepted_ms IS NULL

-- name: event
INSERT INTO event (at_ms, fence, kind, order_id, attempt, detail) VALUES ($1, $2, $3, $4, $5, $6)

-- name: stop
INSERT INTO stop (at_ms, fence, reason) VALUES ($1, $2, $3)

-- name: stopped
SELECT reason FROM stop s
 WHERE NOT EXISTS (SELECT 1 FROM resumed r WHERE r.stop_id = s.id) ORDER BY id LIMIT 1

-- name: resume
INSERT INTO resumed (stop_id, at_ms, reason)
SELECT id, $1, $2 FROM stop s WHERE NOT EXISTS (SELECT 1 FROM resumed r WHERE r.stop_id = s.id)

-- name: verdict
INSERT INTO verdict (order_id, attempt, verdict, at_ms, reason) VALUES ($1, $2, $3, $4, $5)

-- name: hot_block
SELECT height, hash FROM hot_block WHERE network = $1 ORDER BY height DESC LIMIT 1

-- name: note_block
INSERT INTO hot_block (network, height, hash) VALUES ($1, $2, $3)

-- name: note_coin
INSERT INTO hot_coin (network, txid, vout, units, height) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (network, txid, vout) DO NOTHING

-- name: forget_blocks
DELETE FROM hot_block WHERE network = $1 AND height < $2

-- name: undo_coins
DELETE FROM hot_coin WHERE network = $1 AND height >= $2

-- name: undo_blocks
DELETE FROM hot_block WHERE network = $1 AND height >= $2

-- name: coins
SELECT c.txid, c.vout, c.units, c.height,
       EXISTS (SELECT 1 FROM signed s WHERE (s.network, s.txid) = (c.network, c.txid)) AS ours
  FROM hot_coin c
 WHERE c.network = $1
   AND NOT EXISTS (SELECT 1 FROM spent_input i
                    WHERE (i.network, i.txid, i.vout) = (c.network, c.txid, c.vout))
 ORDER BY c.height, c.txid, c.vout

-- name: open_account
INSERT INTO hot_account (network, address, first_nonce, fence) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING

-- name: next_nonce
SELECT greatest(a.first_nonce, (SELECT max(nonce) + 1 FROM nonce n
                                 WHERE (n.network, n.sender) = (a.network, a.address)))
  FROM hot_account a WHERE a.network = $1 AND a.address = $2

-- name: outgoing
SELECT n.nonce, p.asset, p.units,
       (SELECT max(fee_units) FROM signed s WHERE (s.order_id, s.attempt) = (p.order_id, p.attempt))
       AS fee_units,
       p.sent_ms IS NOT NULL AS sent
  FROM payment p JOIN nonce n USING (order_id, attempt)
 WHERE n.network = $1 AND n.sender = $2 AND p.ended_ms IS NULL
 ORDER BY n.nonce

-- name: initialise
INSERT INTO vault_meta (world, link_key, created_ms) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING

-- name: meta
SELECT world, link_key, fence, created_ms FROM vault_meta

-- name: running
-- The advisory lock of the running vault, seen from outside: its key is split in two halves.
SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
                  AND l.classid = 0 AND l.objid::bigint = $1)

-- name: stops
SELECT at_ms, reason FROM stop s
 WHERE NOT EXISTS (SELECT 1 FROM resumed r WHERE r.stop_id = s.id) ORDER BY id

-- name: counts
SELECT (SELECT count(*) FROM binding) AS bindings,
       count(*) FILTER (WHERE ended_ms IS NULL) AS live,
       count(*) FILTER (WHERE ended_ms IS NULL AND signed_ms IS NOT NULL) AS signed,
       count(*) FILTER (WHERE outcome = 'final') AS final,
       count(*) FILTER (WHERE outcome = 'refused') AS refused,
       count(*) FILTER (WHERE outcome IN ('conflicted', 'reverted')) AS void,
       (SELECT count(*) FROM report WHERE accepted_ms IS NULL) AS reports_due
  FROM payment

-- name: recent_alarms
SELECT at_ms, order_id, attempt, detail FROM event WHERE kind = 'alarm' ORDER BY id DESC LIMIT $1
