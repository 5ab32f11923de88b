"""Invariants that are one query each: none of them may find a row."""

import asyncpg


async def judge_rows(owner_dsn: str) -> None:
    """Ask every question of the desk's database at `owner_dsn`."""
    questions = {
        "a log that is no chain": """
            SELECT a.order_id FROM order_log a JOIN order_log b
                ON b.order_id = a.order_id AND b.rev = a.rev + 1
             WHERE b.from_state IS DISTINCT FROM a.to_state""",
        "a hole in a log": """
            SELECT order_id FROM order_log GROUP BY order_id HAVING count(*) <> max(rev) + 1""",
        "two live intents": """
            SELECT order_id FROM payout_intent WHERE ended_ms IS NULL
             GROUP BY order_id HAVING count(*) > 1""",
        "a live intent at the end": "SELECT order_id FROM payout_intent WHERE ended_ms IS NULL",
        "an entry that does not balance": """
            SELECT entry_id FROM posting GROUP BY entry_id, asset HAVING sum(units) <> 0""",
        "a balance that is not its postings": """
            SELECT account FROM account_balance b WHERE units <> (SELECT coalesce(sum(units), 0)
              FROM posting p WHERE p.account = b.account AND p.asset = b.asset)""",
        "a status told twice": """
            SELECT order_id FROM webhook_event GROUP BY order_id, status HAVING count(*) > 1""",
        "an order that no binding reached": "SELECT id FROM orders WHERE bound_ms IS NULL",
        "earnings that are not in the books": """
            SELECT partner_id, asset FROM (
                SELECT 'partner/' || partner_id || '/earnings' AS account, partner_id, asset,
                       sum(markup_units + share_units) FILTER (WHERE payment_id IS NULL) AS units
                  FROM earning GROUP BY 2, 3) e
              LEFT JOIN account_balance b USING (account, asset)
             WHERE coalesce(e.units, 0) <> -coalesce(b.units, 0)""",
        "a final payout whose earnings are not payable, or the reverse": """
            SELECT order_id FROM (
                SELECT order_id, bool_or(kind = 'payout' AND outcome = 'final') AS paid
                  FROM payout_intent GROUP BY 1) i
              FULL JOIN earning e USING (order_id)
             WHERE coalesce(i.paid, false) <> (e.payable_ms IS NOT NULL)""",
        "totals that are not their orders": """
            SELECT partner_id FROM partner_total t JOIN earning e USING (partner_id)
             WHERE e.payable_ms IS NOT NULL GROUP BY partner_id, orders, t.volume_usd, earned_usd
            HAVING orders <> count(*) OR t.volume_usd <> sum(e.volume_usd)
                OR earned_usd <> sum(e.usd)""",
        "a deposit that is final twice in the books": """
            SELECT key FROM ledger_entry GROUP BY key HAVING count(*) > 1""",
    }
    connection = await asyncpg.connect(owner_dsn)
    try:
        for what, question in questions.items():
            rows = await connection.fetch(question)
            assert not rows, f"{what}: {rows}"
    finally:
        await connection.close()
