-- name: promised
-- Per asset: what the hot wallet must still pay. A payment that the vault reported before its last
-- beat is not counted: the balance in that beat is without it already.
SELECT asset, sum(units) AS units FROM (
    -- owed for orders: deposits not exchanged, payouts and refunds not final
    SELECT b.asset, -b.units AS units FROM account_balance b
     WHERE b.units <> 0 AND b.account LIKE 'order/%'
    UNION ALL
    SELECT i.asset, -i.units FROM payout_intent i JOIN hot_balance h ON h.asset = i.asset
     WHERE i.ended_ms IS NULL AND i.sent_ms < h.at_ms
    UNION ALL
    -- deposits seen and not final yet, at the price their orders were opened with
    SELECT o.to_asset, greatest(o.to_units, div(sum(d.units) * o.to_units, o.from_units) + 1)
      FROM orders o JOIN deposit d ON d.order_id = o.id AND d.asset = o.from_asset AND NOT d.gone
     WHERE o.state = 'CONFIRMING' GROUP BY o.id
) AS owed GROUP BY asset
