-- name: partner
-- By name or id. Locks the partner, so that its keys are counted one change after the other.
SELECT id, name, signing, networks FROM partner WHERE name = $1 OR id::text = $1
   FOR NO KEY UPDATE

-- name: insert
INSERT INTO credential (id, partner_id, dialect, api_key, secret_sealed, public_key, label, scopes,
                        expires_ms, created_ms)
VALUES ($1, $2, 'signed_v1', $3, $4, $5, $6, $7, $8, $9)

-- name: of_partner
SELECT api_key, label, CASE WHEN public_key IS NULL THEN 'secret' ELSE 'ed25519' END AS kind,
       scopes, enabled, expires_ms, created_ms
  FROM credential WHERE partner_id = $1 ORDER BY created_ms, id LIMIT $2

-- name: revoke
-- No row: no such key. A revoked key stays revoked; its row stays for the record.
UPDATE credential SET enabled = false, version = version + 1 WHERE api_key = $1 RETURNING id

-- name: expire
-- No row: no such key, or it was revoked.
UPDATE credential SET expires_ms = $2, version = version + 1 WHERE api_key = $1 AND enabled
RETURNING id

-- name: set_scopes
-- No row: no such key, or it was revoked.
UPDATE credential SET scopes = $2, version = version + 1 WHERE api_key = $1 AND enabled
RETURNING id

-- name: set_rules
-- Callers are known by the row they were read from, so this holds from the next call on.
UPDATE partner SET signing = $2, networks = $3 WHERE id = $1
