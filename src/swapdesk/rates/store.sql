-- name: keep
-- One immutable row per round.
INSERT INTO rate_snapshot (id, taken_ms, body) VALUES ($1, $2, $3)

-- name: newest
SELECT id, taken_ms, body FROM rate_snapshot ORDER BY taken_ms DESC LIMIT 1

-- name: forget
-- Old rounds that no order refers to. No row is locked for long: at most $2 at a time.
DELETE FROM rate_snapshot WHERE id IN (
    SELECT s.id FROM rate_snapshot s WHERE s.taken_ms < $1
       AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.snapshot_id = s.id) LIMIT $2)
