-- name: counters
-- Locks the counters of partners with events that have no number yet, until the transaction ends.
SELECT c.partner_id FROM event_counter c
 WHERE (SELECT true FROM webhook_event e WHERE e.partner_id = c.partner_id AND e.seq IS NULL
         ORDER BY e.created_ms LIMIT 1)
 ORDER BY c.partner_id LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: number
-- Numbers up to $2 events of each partner in $1, whose counters are locked, oldest first, without
-- gaps. Only committed events are seen; one that commits later gets a later number.
WITH fresh AS (
    SELECT e.id, e.partner_id,
           row_number() OVER (PARTITION BY e.partner_id ORDER BY e.created_ms, e.id) AS n
      FROM unnest($1::uuid[]) AS p (id) CROSS JOIN LATERAL (
           SELECT w.id, w.partner_id, w.created_ms FROM webhook_event w
            WHERE w.partner_id = p.id AND w.seq IS NULL
            ORDER BY w.created_ms, w.id LIMIT $2) e
), counted AS (
    UPDATE event_counter c SET last_seq = c.last_seq + f.n
      FROM (SELECT partner_id, max(n) AS n FROM fresh GROUP BY partner_id) f
     WHERE c.partner_id = f.partner_id
    RETURNING c.partner_id, c.last_seq - f.n AS before
)
UPDATE webhook_event w SET seq = c.before + f.n
  FROM fresh f JOIN counted c ON c.partner_id = f.partner_id
 WHERE w.id = f.id

-- name: page
SELECT seq, id, body FROM webhook_event
 WHERE partner_id = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: oldest
-- The smallest number that is still there; null: the log is empty.
SELECT min(seq) FROM webhook_event WHERE partner_id = $1

-- name: forget
-- One chunk of the oldest events: those before the first that is younger than $1 or tells of an
-- order that is still kept. So what is left has no gap either.
DELETE FROM webhook_event WHERE id IN (
    SELECT w.id FROM event_counter c CROSS JOIN LATERAL (
        SELECT e.id FROM webhook_event e
         WHERE e.partner_id = c.partner_id AND e.seq <= c.last_seq AND e.seq < coalesce((
               SELECT min(k.seq) FROM webhook_event k
                WHERE k.partner_id = c.partner_id
                  AND (k.created_ms >= $1 OR (k.order_id IS NOT NULL AND k.body IS NOT NULL))),
               c.last_seq + 1)
         ORDER BY e.seq LIMIT $2) w
     LIMIT $2)
