-- name: ask_payout
INSERT INTO payout_intent (order_id, attempt, kind, asset, units, destination, covers_units, asked_ms)
VALUES ($1, (SELECT coalesce(max(attempt), 0) + 1 FROM payout_intent WHERE order_id = $1),
        $2, $3, $4, $5, $6, $7)
RETURNING attempt

-- name: lock_intent
SELECT * FROM payout_intent WHERE order_id = $1 AND attempt = $2 FOR UPDATE

-- name: live_intent
SELECT * FROM payout_intent WHERE order_id = $1 AND ended_ms IS NULL

-- name: intents_of
SELECT * FROM payout_intent WHERE order_id = $1 ORDER BY attempt

-- name: intents_of_orders
SELECT * FROM payout_intent WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, attempt

-- name: intent_sent
UPDATE payout_intent SET sent_ms = $3, txid = $4 WHERE order_id = $1 AND attempt = $2
   AND sent_ms IS NULL

-- name: intent_ended
UPDATE payout_intent SET ended_ms = $3, outcome = $4, txid = $5, fee_units = $6, reason = $7,
       sent_ms = CASE WHEN $5::text IS NULL THEN sent_ms ELSE coalesce(sent_ms, $3) END
 WHERE order_id = $1 AND attempt = $2 AND ended_ms IS NULL

-- name: unacked_intents
-- What the vault has not acknowledged yet, oldest first. A refund or payout that ended is not asked.
SELECT * FROM payout_intent WHERE acked_ms IS NULL AND ended_ms IS NULL ORDER BY asked_ms LIMIT $1

-- name: ack_intent
UPDATE payout_intent SET acked_ms = coalesce(acked_ms, $3) WHERE order_id = $1 AND attempt = $2
