-- name: of
-- A partner's endpoint, by id or by name ($1 as text), locked until the transaction ends.
SELECT id AS partner_id, name, webhook_url AS url, webhook_events AS events,
       webhook_version AS secret_version
  FROM partner WHERE id::text = lower($1) OR name = $1
 ORDER BY id::text = lower($1) DESC LIMIT 1 FOR NO KEY UPDATE

-- name: keep
UPDATE partner SET webhook_url = $2, webhook_events = $3 WHERE id = $1

-- name: keys
-- Public keys that sign now, newest first: the current one, and retired ones in their overlap.
SELECT id, public_key, created_ms, retired_ms FROM webhook_key
 WHERE partner_id = $1 AND (retired_ms IS NULL OR retired_ms > $2)
 ORDER BY created_ms DESC, id

-- name: retire_keys
UPDATE webhook_key SET retired_ms = $2 WHERE partner_id = $1 AND retired_ms IS NULL

-- name: add_key
-- No row: somebody else's is the current one.
INSERT INTO webhook_key (id, partner_id, public_key, private_sealed, created_ms)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING id

-- name: forget_keys
DELETE FROM webhook_key WHERE retired_ms <= $1
