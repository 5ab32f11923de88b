-- name: lock_partner
-- Locks the partner, so that two new codes never both take his last place; his cap.
SELECT codes_max FROM partner WHERE id = $1 FOR NO KEY UPDATE

-- name: count
SELECT count(*) FROM reference_code WHERE partner_id = $1

-- name: set_most
-- No row: no partner of this name.
UPDATE partner SET codes_max = $2 WHERE name = $1 RETURNING id

-- name: most
SELECT id, codes_max FROM partner WHERE name = $1

-- name: insert
-- No row: the code is taken, by whomever.
INSERT INTO reference_code (id, partner_id, code, label, markup_bps, enabled, created_ms)
VALUES ($1, $2, $3, $4, $5, true, $6) ON CONFLICT (code) DO NOTHING RETURNING id

-- name: of_partner
-- Newest first.
SELECT * FROM reference_code WHERE partner_id = $1 ORDER BY created_ms DESC, id DESC LIMIT $2

-- name: switch
-- No row: the partner has no such code.
UPDATE reference_code SET enabled = $3 WHERE partner_id = $1 AND code = $2 RETURNING *

-- name: find
-- A code that counts: enabled, and its partner too. No row otherwise.
SELECT c.* FROM reference_code c JOIN partner p ON p.id = c.partner_id
 WHERE c.code = $1 AND c.enabled AND p.enabled

-- name: find_all
-- The same for many, each with the partner who must own it.
SELECT c.* FROM unnest($1::uuid[], $2::text[]) AS k (partner_id, code)
  JOIN reference_code c ON c.code = k.code AND c.partner_id = k.partner_id
 WHERE c.enabled

-- name: by_id
-- A code that still counts, and the markup it brings: its own, or its partner's when it has none.
SELECT coalesce(nullif(c.markup_bps, 0), p.markup_bps) AS markup_bps
  FROM reference_code c JOIN partner p ON p.id = c.partner_id
 WHERE c.id = $1 AND c.partner_id = $2 AND c.enabled AND p.enabled
