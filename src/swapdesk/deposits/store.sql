-- name: lease_indexes
-- Indexes that are never drawn again, whatever becomes of this transaction. Each is counted on its
-- own, so a lease may have gaps where another process drew at the same time.
SELECT nextval($1::text::regclass) AS index FROM generate_series(1, $2::integer)

-- name: keep_addresses
INSERT INTO pay_in_address (family, index, network, address, order_id, asset)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::uuid[], $6::text[])

-- name: known_addresses
-- Which of these are ours, on any network of the family.
SELECT a.family, a.address FROM unnest($1::text[], $2::text[]) AS n (family, address)
  JOIN pay_in_address a ON a.family = n.family AND a.address = n.address

-- name: owners
-- Which of these addresses are ours, and whose: one look-up in the unique index per address.
SELECT address, order_id FROM pay_in_address WHERE family = $1 AND address = ANY($2::text[])

-- name: see
-- A deposit in a block, or waiting in the mempool (block null). No row: nothing changed.
INSERT INTO deposit AS d (network, txid, position, order_id, asset, address, units, first_seen_ms,
    block_hash, block_height)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (network, txid, position) DO UPDATE
   SET block_hash = EXCLUDED.block_hash, block_height = EXCLUDED.block_height, gone = false
 WHERE d.gone OR (EXCLUDED.block_hash IS NOT NULL
                  AND d.block_hash IS DISTINCT FROM EXCLUDED.block_hash)
RETURNING order_id

-- name: unblock
-- A reorganised block takes its deposits back: they count as waiting until the next look.
UPDATE deposit SET block_hash = NULL, block_height = NULL, final_ms = NULL,
       credit_rev = credit_rev + (final_ms IS NOT NULL)::int
 WHERE network = $1 AND txid = $2 AND position = $3 AND block_hash IS NOT NULL

-- name: above
-- Deposits in blocks from this height up, locked in key order.
SELECT * FROM deposit WHERE network = $1 AND block_height >= $2
 ORDER BY network, txid, position FOR UPDATE

-- name: waiting
-- Deposits we believe to wait in the mempool.
SELECT * FROM deposit WHERE network = $1 AND block_hash IS NULL AND NOT gone

-- name: gone
UPDATE deposit SET gone = true
 WHERE network = $1 AND txid = $2 AND position = $3 AND block_hash IS NULL AND NOT gone
RETURNING order_id

-- name: ripe
-- Deposits that reached final depth: height at or below $2.
SELECT * FROM deposit WHERE network = $1 AND final_ms IS NULL AND NOT gone
   AND asset = $2 AND block_height <= $3 ORDER BY network, txid, position FOR UPDATE

-- name: finalise
UPDATE deposit SET final_ms = $4, credit_rev = credit_rev + 1
 WHERE network = $1 AND txid = $2 AND position = $3 AND final_ms IS NULL
RETURNING credit_rev

-- name: of_order
SELECT * FROM deposit WHERE order_id = $1 ORDER BY first_seen_ms, txid, position

-- name: of_orders
SELECT * FROM deposit WHERE order_id = ANY($1::uuid[]) ORDER BY first_seen_ms, txid, position

-- name: cursor
SELECT height, hash, tip_height, synced_ms FROM chain_cursor WHERE network = $1

-- name: lock_cursor
SELECT height, hash, tip_height, synced_ms FROM chain_cursor WHERE network = $1 FOR UPDATE

-- name: set_cursor
INSERT INTO chain_cursor (network, height, hash, tip_height, synced_ms)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (network) DO UPDATE SET height = EXCLUDED.height, hash = EXCLUDED.hash,
    tip_height = EXCLUDED.tip_height, synced_ms = EXCLUDED.synced_ms

-- name: cursors
SELECT network, height, tip_height, synced_ms FROM chain_cursor

-- name: keep_block
INSERT INTO chain_block (network, height, hash) VALUES ($1, $2, $3)
ON CONFLICT (network, height) DO UPDATE SET hash = EXCLUDED.hash

-- name: known_blocks
SELECT height, hash FROM chain_block WHERE network = $1 ORDER BY height DESC LIMIT $2

-- name: drop_blocks
DELETE FROM chain_block WHERE network = $1 AND (height > $2 OR height < $3)
