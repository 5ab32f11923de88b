-- name: delete
UPDATE orders SET deleted_ms = coalesce(deleted_ms, $2) WHERE id = $1

-- name: ripe
-- Finished orders whose retention is over, locked; what somebody else holds is left for the next
-- look. Not yet: what the vault has not bound, what is still owed money, on its way or being paid.
-- $2: an idempotency key is kept for a day, so its order is too.
SELECT o.id FROM orders o
 WHERE o.purged_ms IS NULL AND o.state IN ('DONE', 'REFUNDED', 'EXPIRED')
   AND o.updated_ms <= $1 AND o.opened_ms <= $2 AND o.bound_ms IS NOT NULL
   AND NOT EXISTS (SELECT FROM account_balance b
                    WHERE b.account = 'order/' || o.id AND b.units <> 0)
   AND NOT EXISTS (SELECT FROM deposit d
                    WHERE d.order_id = o.id AND d.final_ms IS NULL AND NOT d.gone)
   AND NOT EXISTS (SELECT FROM payout_intent i WHERE i.order_id = o.id AND i.ended_ms IS NULL)
 ORDER BY o.updated_ms LIMIT $3
   FOR UPDATE OF o SKIP LOCKED

-- name: purge_orders
UPDATE orders SET destination = NULL, refund_address = NULL, attestation = NULL, purged_ms = $2
 WHERE id = ANY($1::uuid[])

-- name: purge_intents
UPDATE payout_intent SET destination = NULL, txid = NULL, reason = NULL
 WHERE order_id = ANY($1::uuid[])

-- name: purge_keys
DELETE FROM idempotency WHERE order_id = ANY($1::uuid[])
