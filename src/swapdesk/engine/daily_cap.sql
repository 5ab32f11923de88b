-- name: lock
-- Processes that open orders under a daily cap go one after the other.
SELECT one FROM site_switch FOR NO KEY UPDATE

-- name: opened
-- Value of the orders opened in the last day. Read after the lock: an own statement.
SELECT coalesce(sum(usd), 0) FROM opened_value WHERE minute > $1

-- name: add
INSERT INTO opened_value AS v (minute, usd) VALUES ($1, $2)
    ON CONFLICT (minute) DO UPDATE SET usd = v.usd + excluded.usd

-- name: forget
DELETE FROM opened_value WHERE minute <= $1
