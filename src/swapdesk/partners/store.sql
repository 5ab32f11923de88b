-- name: insert_partner
-- No row: the name is taken.
INSERT INTO partner (id, name, markup_bps, webhook_url, webhook_secret_sealed, created_ms)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING RETURNING id

-- name: insert_credential
INSERT INTO credential (id, partner_id, dialect, api_key, secret_sealed, created_ms)
VALUES ($1, $2, 'signed_v1', $3, $4, $5)

-- name: all
SELECT p.id, p.name, p.enabled, p.markup_bps, p.weight_per_minute, p.webhook_url,
       p.webhook_events, p.created_ms,
       ARRAY(SELECT c.api_key FROM credential c WHERE c.partner_id = p.id AND c.enabled
              ORDER BY c.created_ms, c.api_key) AS api_keys
  FROM partner p ORDER BY p.created_ms, p.id LIMIT $1

-- name: holder
-- No row: no such key, or it was revoked, which callers cannot tell apart.
SELECT p.id AS partner_id, p.enabled, p.markup_bps, c.id AS credential_id, c.version,
       c.secret_sealed
  FROM credential c JOIN partner p ON p.id = c.partner_id
 WHERE c.api_key = $1 AND c.enabled

-- name: burn_nonce
-- Burns a nonce and locks its partner until the transaction ends, so that charges come one after
-- the other; inserts that merely refer to the partner do not wait. No row: the nonce was used.
WITH burnt AS (
    INSERT INTO nonce (partner_id, nonce, used_ms) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING partner_id
)
SELECT p.weight_per_minute FROM partner p JOIN burnt b ON b.partner_id = p.id
   FOR NO KEY UPDATE OF p

-- name: charges
-- Weight per second in the window. Read after the lock: an own statement, an own snapshot.
SELECT at_second, weight FROM weight_charge WHERE partner_id = $1 AND at_second >= $2

-- name: charge
INSERT INTO weight_charge AS w (partner_id, at_second, weight) VALUES ($1, $2, $3)
ON CONFLICT (partner_id, at_second) DO UPDATE SET weight = w.weight + excluded.weight

-- name: forget_nonces
-- One chunk of nonces older than $1.
DELETE FROM nonce WHERE (partner_id, nonce) IN (
    SELECT partner_id, nonce FROM nonce WHERE used_ms < $1 ORDER BY used_ms LIMIT $2)

-- name: forget_charges
-- One chunk of buckets that no window reaches any more.
DELETE FROM weight_charge WHERE (partner_id, at_second) IN (
    SELECT partner_id, at_second FROM weight_charge WHERE at_second < $1 LIMIT $2)
