-- name: tell
-- Enqueues an event for a partner who wants it. Nothing happens for others, and for a status that
-- was told before. Events of one order are strictly ordered by created_ms; the order is locked.
INSERT INTO webhook_event (id, partner_id, order_id, event, status, body, created_ms, due_ms)
SELECT $1, p.id, $3, $4, $5, $6,
       greatest($7, (SELECT max(e.created_ms) + 1 FROM webhook_event e WHERE e.order_id = $3)), $7
  FROM partner p
 WHERE p.id = $2 AND p.webhook_url IS NOT NULL AND $4 = ANY (p.webhook_events)
ON CONFLICT (order_id, status) DO NOTHING

-- name: claim
-- Leases due events until $2: another claim meets them again only then. An event waits while an
-- earlier one of its order is undelivered and younger than the hold-back ($3).
WITH due AS (
    SELECT e.id FROM webhook_event e
     WHERE e.delivered_ms IS NULL AND e.dead_ms IS NULL AND e.due_ms <= $1
       AND NOT EXISTS (
           SELECT 1 FROM webhook_event f
            WHERE f.order_id = e.order_id AND f.delivered_ms IS NULL AND f.dead_ms IS NULL
              AND f.created_ms < e.created_ms AND f.created_ms > $3)
     ORDER BY e.due_ms LIMIT $4
       FOR UPDATE OF e SKIP LOCKED
)
UPDATE webhook_event w SET due_ms = $2, attempt = w.attempt + 1
  FROM due, partner p
 WHERE w.id = due.id AND p.id = w.partner_id
RETURNING w.id, w.partner_id, w.event, w.body, w.attempt, p.webhook_url, p.webhook_secret_sealed

-- name: delivered
UPDATE webhook_event SET delivered_ms = $2, last_error = NULL
 WHERE id = $1 AND delivered_ms IS NULL AND dead_ms IS NULL

-- name: failed
-- Nothing happens when the lease ran out and somebody else is trying by now.
UPDATE webhook_event SET due_ms = coalesce($3, due_ms), last_error = $4,
       dead_ms = CASE WHEN $3::bigint IS NULL THEN $5::bigint END
 WHERE id = $1 AND attempt = $2 AND delivered_ms IS NULL AND dead_ms IS NULL

-- name: dead
-- Dead letters, newest first.
SELECT id, partner_id, order_id, event, status, created_ms, dead_ms, attempt, last_error
  FROM webhook_event WHERE dead_ms IS NOT NULL ORDER BY dead_ms DESC LIMIT $1
