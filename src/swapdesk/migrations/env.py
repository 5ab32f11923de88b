"""Alembic's entry: runs the migrations on the connection that `db.migrate` hands over.

Afterwards `allowed_move` is made equal to the transition table, so that the database refuses
every move that the code does not declare.
"""

from alembic import context
from sqlalchemy import Connection, text

from swapdesk.orders.states import MOVES


def _fill_allowed_moves(connection: Connection) -> None:
    for (state, cause), to_state in MOVES.items():
        connection.execute(
            text(
                "INSERT INTO allowed_move (from_state, cause, to_state) VALUES (:f, :c, :t)"
                " ON CONFLICT DO NOTHING"
            ),
            {"f": state.value, "c": cause.value, "t": to_state.value},
        )


connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
    _fill_allowed_moves(connection)
