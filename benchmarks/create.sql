-- One order as one statement: what /create writes, by the database alone. Every client has a
-- partner of its own, so that none waits for another's budget.
WITH gate AS (
    SELECT c.id, p.id AS partner_id, p.weight_per_minute
      FROM credential c JOIN partner p ON p.id = c.partner_id
     WHERE p.name = 'bench-' || :client_id AND c.enabled AND p.enabled FOR NO KEY UPDATE OF p
), burnt AS (
    INSERT INTO nonce (partner_id, nonce, used_ms)
    SELECT partner_id, gen_random_uuid()::text, 1800000000000 FROM gate
        ON CONFLICT DO NOTHING RETURNING partner_id
), spent AS (
    SELECT coalesce(sum(w.weight), 0) AS weight FROM weight_charge w JOIN gate USING (partner_id)
     WHERE at_second >= extract(epoch FROM now())::bigint - 59
), charged AS (
    INSERT INTO weight_charge AS w (partner_id, at_second, weight)
    SELECT partner_id, extract(epoch FROM now())::bigint, 50 FROM gate, spent
     WHERE spent.weight + 50 <= weight_per_minute
        ON CONFLICT (partner_id, at_second) DO UPDATE SET weight = w.weight + excluded.weight
), new AS (
    SELECT uuidv7() AS id, nextval('deposit_index_bitcoin') AS index, partner_id FROM burnt
     WHERE NOT EXISTS (SELECT FROM pay_in_address WHERE family = 'tron'
                          AND address = 'TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t')
       AND NOT EXISTS (SELECT FROM pay_in_address WHERE family = 'bitcoin'
                          AND address = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080')
), claimed AS (
    INSERT INTO idempotency (partner_id, key_hash, body_hash, order_id, created_ms)
    SELECT partner_id, sha256(id::text::bytea), sha256('body'), id, 1800000000000 FROM new
        ON CONFLICT DO NOTHING RETURNING order_id
), logged AS (
    INSERT INTO order_log (order_id, rev, to_state, at_ms, by)
    SELECT order_id, 0, 'WAITING', 1800000000000, 'partner' FROM claimed
), kept AS (
    INSERT INTO pay_in_address (family, index, network, address, order_id, asset)
    SELECT 'bitcoin', index, 'bitcoin', 'bcrt1' || md5(id::text) || '1234567', id, 'btc' FROM new
)
INSERT INTO orders (id, partner_id, state, rev, shown, from_asset, to_asset, direction, from_units,
    to_units, rate_num, rate_den, snapshot_id, base_fee_bps, markup_bps, network_fee_units,
    min_units, max_units, destination, refund_address, token_hash, opened_ms, window_ends_ms,
    updated_ms, next_ms)
SELECT id, partner_id, 'WAITING', 0, '{NEW}', 'btc', 'usdt_trc20', 'from', 1000000,
    617232400, 62450120000000000000000, 100000000000000000000,
    (SELECT id FROM rate_snapshot ORDER BY taken_ms DESC LIMIT 1), 50, 50, 1200000,
    16013, 32025558, 'TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t',
    'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', sha256(id::text::bytea), 1800000000000,
    1800001800000, 1800000000000, 1800001800000
  FROM new
RETURNING id;
