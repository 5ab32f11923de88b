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

-- name: holders
-- No row: no such key, or it was revoked, which callers cannot tell apart. xmin names the
-- transaction that wrote a row: any change of it makes what a process remembers stale.
SELECT c.api_key, p.id AS partner_id, p.enabled, p.markup_bps, c.id AS credential_id, c.version,
       p.webhook_version, p.signing, p.networks, c.secret_sealed, c.public_key, c.scopes,
       c.expires_ms, p.xmin AS partner_row, c.xmin AS credential_row
  FROM credential c JOIN partner p ON p.id = c.partner_id
 WHERE c.api_key = ANY($1::text[]) AND c.enabled

-- name: admit
-- Burns nonces and charges weights; who is not let in comes back (migrations 0002_hot_path.sql).
SELECT * FROM admit($1::uuid[], $2::xid[], $3::xid[], $4::integer[], $5::text[], $6::integer[], $7,
                    $8, $9)

-- name: forget_nonces
-- One chunk of nonces older than $1.
DELETE FROM nonce WHERE (partner_id, nonce) IN (
    SELECT partner_id, nonce FROM nonce WHERE used_ms < $1 ORDER BY used_ms LIMIT $2)

-- name: forget_charges
-- One chunk of buckets that no window reaches any more.
DELETE FROM weight_charge WHERE (partner_id, at_second) IN (
    SELECT partner_id, at_second FROM weight_charge WHERE at_second < $1 LIMIT $2)
