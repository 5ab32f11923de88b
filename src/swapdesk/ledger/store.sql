-- name: insert_entry
-- The same fact posts once: no row when its key is known.
INSERT INTO ledger_entry (id, key, kind, order_id, at_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO NOTHING RETURNING id

-- name: insert_postings
INSERT INTO posting (entry_id, line, account, asset, units)
SELECT $1, line - 1, account, asset, units
  FROM unnest($2::text[], $3::text[], $4::numeric[]) WITH ORDINALITY AS p (account, asset, units, line)

-- name: balance
SELECT units FROM account_balance WHERE account = $1 AND asset = $2

-- name: balances
SELECT account, asset, units FROM account_balance WHERE account LIKE $1 AND units <> 0
 ORDER BY account, asset

-- name: posted
-- What the entry of this key posted to an account.
SELECT p.units FROM ledger_entry e JOIN posting p ON p.entry_id = e.id
 WHERE e.key = $1 AND p.account = $2

-- name: newest_of_kind
SELECT e.id, e.key FROM ledger_entry e WHERE e.order_id = $1 AND e.kind = $2
 ORDER BY e.at_ms DESC, e.id DESC LIMIT 1

-- name: postings_of
SELECT account, asset, units FROM posting WHERE entry_id = $1 ORDER BY line

-- name: trial_balance
-- Every account that is not an order or a partner by itself, those two summed up.
SELECT CASE WHEN account LIKE 'order/%' THEN 'order/*'
            WHEN account LIKE 'partner/%' THEN 'partner/*'
            ELSE account END AS name, asset, sum(units) AS units
  FROM posting GROUP BY 1, 2 HAVING sum(units) <> 0 ORDER BY 2, 1
