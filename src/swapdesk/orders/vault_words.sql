-- name: last_beat
SELECT fence, at_ms, stopped FROM vault_beat

-- name: keep_beat
-- No row: an older vault spoke.
INSERT INTO vault_beat AS v (one, fence, at_ms, stopped) VALUES (true, $1, $2, $3)
ON CONFLICT (one) DO UPDATE SET fence = EXCLUDED.fence, at_ms = EXCLUDED.at_ms,
    stopped = EXCLUDED.stopped WHERE v.fence <= EXCLUDED.fence
RETURNING fence

-- name: keep_balance
INSERT INTO hot_balance (asset, units, at_ms) VALUES ($1, $2, $3)
ON CONFLICT (asset) DO UPDATE SET units = EXCLUDED.units, at_ms = EXCLUDED.at_ms

-- name: hot_balances
SELECT asset, units, at_ms FROM hot_balance ORDER BY asset

-- name: burn_nonce
INSERT INTO link_nonce (nonce, used_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING nonce

-- name: forget_nonces
DELETE FROM link_nonce WHERE nonce IN (SELECT nonce FROM link_nonce WHERE used_ms < $1 LIMIT $2)
