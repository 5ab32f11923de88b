-- name: rotate_secret
-- No row: the credential was rotated or revoked since version $2 was read.
UPDATE credential SET secret_sealed = $3, version = version + 1
 WHERE id = $1 AND version = $2 AND enabled RETURNING version

-- name: rotate_webhook_secret
-- No row: the webhook secret was rotated since version $2 was read.
UPDATE partner SET webhook_secret_sealed = $3, webhook_version = webhook_version + 1
 WHERE id = $1 AND webhook_version = $2 RETURNING webhook_version

-- name: switch_partner
-- No row: no partner of this name.
UPDATE partner SET enabled = $2 WHERE name = $1 RETURNING id
