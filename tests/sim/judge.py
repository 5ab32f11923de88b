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
