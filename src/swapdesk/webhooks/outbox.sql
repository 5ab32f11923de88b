-- name: tell
-- Writes an event into its partner's log and queues its delivery, if the partner has a URL and wants
-- it. No row: it was told before, or the order is hidden or purged. Events of one order are strictly
-- ordered by created_ms; the caller holds the order locked.
WITH told AS (
    INSERT INTO webhook_event (id, partner_id, order_id, event, status, body, created_ms)
    SELECT $1, $2, $3, $4, $5, $6, greatest($7::bigint,
           (SELECT max(e.created_ms) + 1 FROM webhook_event e WHERE e.order_id = $3))
     WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = $3
                          AND (o.deleted_ms IS NOT NULL OR o.purged_ms IS NOT NULL))
    ON CONFLICT DO NOTHING
    RETURNING id, partner_id, order_id, event, created_ms
), queued AS (
    INSERT INTO webhook_delivery (event_id, partner_id, order_id, created_ms, due_ms)
    SELECT t.id, t.partner_id, t.order_id, t.created_ms, $7
      FROM told t JOIN partner p ON p.id = t.partner_id
     WHERE p.webhook_url IS NOT NULL
       AND (t.event = ANY (p.webhook_events) OR t.event = 'webhook.test')
    RETURNING event_id
)
SELECT t.id, q.event_id IS NOT NULL AS queued FROM told t LEFT JOIN queued q ON q.event_id = t.id

-- name: lines
-- Locks the lines of partners with something due, until the transaction ends: one claimer each. $2
-- true: those whose last delivery failed, false: the others. Who waited longest comes first.
-- LIMIT 1 keeps the planner from reading a whole queue to see that it is not empty.
SELECT l.partner_id FROM webhook_line l
 WHERE (l.failures > 0) = $2 AND (
       SELECT true FROM webhook_delivery d
        WHERE d.partner_id = l.partner_id AND d.due_ms <= $1
          AND d.delivered_ms IS NULL AND d.dead_ms IS NULL
        ORDER BY d.due_ms LIMIT 1)
 ORDER BY l.served_ms LIMIT $3
   FOR UPDATE SKIP LOCKED

-- name: claim
-- Leases due events of the partners $1, whose lines are locked, until $3: another claim meets them
-- again only then. A partner has at most $5 under way. An event waits while an earlier one of its
-- order is undelivered and younger than the hold-back ($4).
-- Written so that no plan, however wrong the statistics, reads a whole queue.
WITH due AS MATERIALIZED (
    SELECT d.event_id FROM unnest($1::uuid[]) AS l (partner_id) CROSS JOIN LATERAL (
        SELECT e.event_id FROM webhook_delivery e
         WHERE e.partner_id = l.partner_id AND e.due_ms <= $2
           AND e.delivered_ms IS NULL AND e.dead_ms IS NULL
           AND (SELECT true FROM webhook_delivery f
                 WHERE f.order_id = e.order_id AND f.delivered_ms IS NULL AND f.dead_ms IS NULL
                   AND f.created_ms < e.created_ms AND f.created_ms > $4 LIMIT 1) IS NULL
         ORDER BY e.due_ms, e.created_ms
         LIMIT greatest(0, $5 - (SELECT count(*) FROM webhook_delivery b
                                  WHERE b.partner_id = l.partner_id AND b.leased_ms > $2))) d
     LIMIT $6
), served AS (
    UPDATE webhook_line SET served_ms = $2 WHERE partner_id = ANY ($1::uuid[])
)
UPDATE webhook_delivery w SET due_ms = $3, leased_ms = $3, attempt = w.attempt + 1
  FROM webhook_event v, partner p
 WHERE w.event_id = ANY (ARRAY(SELECT event_id FROM due))
   AND coalesce(w.delivered_ms, w.dead_ms) IS NULL
   AND v.id = w.event_id AND p.id = w.partner_id
RETURNING w.event_id AS id, w.partner_id, v.event, v.body, w.attempt, p.webhook_url,
          p.webhook_secret_sealed,
          ARRAY(SELECT k.id FROM webhook_key k
                 WHERE k.partner_id = p.id AND (k.retired_ms IS NULL OR k.retired_ms > $7)
                 ORDER BY k.created_ms DESC, k.id) AS key_ids,
          ARRAY(SELECT k.private_sealed FROM webhook_key k
                 WHERE k.partner_id = p.id AND (k.retired_ms IS NULL OR k.retired_ms > $7)
                 ORDER BY k.created_ms DESC, k.id) AS keys_sealed

-- name: delivered
UPDATE webhook_delivery SET delivered_ms = $2, leased_ms = NULL, last_error = NULL
 WHERE event_id = $1 AND delivered_ms IS NULL AND dead_ms IS NULL

-- name: failed
-- Nothing happens when the lease ran out and somebody else is trying by now.
UPDATE webhook_delivery SET due_ms = coalesce($3, due_ms), leased_ms = NULL, last_error = $4,
       dead_ms = CASE WHEN $3::bigint IS NULL THEN $5::bigint END
 WHERE event_id = $1 AND attempt = $2 AND delivered_ms IS NULL AND dead_ms IS NULL

-- name: line_works
UPDATE webhook_line SET failures = 0 WHERE partner_id = $1 AND failures > 0

-- name: line_fails
UPDATE webhook_line SET failures = failures + 1 WHERE partner_id = $1

-- name: dead
-- Dead letters of one partner, or of all ($1 null), newest first.
SELECT d.event_id AS id, d.partner_id, p.name AS partner, d.order_id, v.event, v.status,
       d.created_ms, d.dead_ms, d.attempt, d.last_error
  FROM webhook_delivery d JOIN webhook_event v ON v.id = d.event_id
  JOIN partner p ON p.id = d.partner_id
 WHERE d.dead_ms IS NOT NULL AND ($1::uuid IS NULL OR d.partner_id = $1)
 ORDER BY d.dead_ms DESC, d.event_id LIMIT $2

-- name: redeliver
-- Queues an event again, at the foot of the ladder; its id, and so its delivery's, stays. $2 null:
-- whoever's it is. No row: unknown, foreign or removed, the partner has no URL, or it is under way.
INSERT INTO webhook_delivery AS d (event_id, partner_id, order_id, created_ms, due_ms)
SELECT v.id, v.partner_id, v.order_id, v.created_ms, $3
  FROM webhook_event v JOIN partner p ON p.id = v.partner_id
 WHERE v.id = $1 AND ($2::uuid IS NULL OR v.partner_id = $2) AND v.body IS NOT NULL
   AND p.webhook_url IS NOT NULL
ON CONFLICT (event_id) DO UPDATE
   SET due_ms = $3, attempt = 0, delivered_ms = NULL, dead_ms = NULL, leased_ms = NULL
 WHERE d.leased_ms IS NULL OR d.leased_ms <= $3
RETURNING event_id

-- name: forget_order_deliveries
DELETE FROM webhook_delivery WHERE order_id = $1

-- name: forget_order
-- Empties the events of an order that was removed; their numbers stay, so that none is missing.
UPDATE webhook_event SET body = NULL WHERE order_id = $1 AND body IS NOT NULL
