"""Where conversations are kept. All times are microseconds since 1970."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from services.gateway.database.engine import metadata

conversations = Table(
    "conversations",
    metadata,
    Column("conversation_id", String(64), primary_key=True),
    Column("tenant_id", Text, nullable=False),
    # Empty until the first question gives it one.
    Column("name", String(200), nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
    Column("turn_count", Integer, nullable=False),
    Index("conversations_by_use", "tenant_id", "update_time_us", "conversation_id"),
)

turns = Table(
    "conversation_turns",
    metadata,
    Column(
        "conversation_id",
        String(64),
        ForeignKey(conversations.c.conversation_id, ondelete="CASCADE"),
        primary_key=True,
    ),
    # Counted from 1.
    Column("number", Integer, primary_key=True),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    # A number of gateway.v1.TurnFinishReason.
    Column("finish_reason", Integer, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("complete_time_us", BigInteger, nullable=False),
    # A serialised gateway.v1.ConversationTurn with what no other column tells; null in turns
    # of before this column.
    Column("details", LargeBinary),
)


def _of_a_turn(name: str, *columns: Column[bytes]) -> Table:
    """Something that a turn has of an asset, in order; it goes with either."""
    return Table(
        name,
        metadata,
        Column("conversation_id", String(64), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("place", Integer, primary_key=True),
        Column("tenant_id", Text, nullable=False),
        Column("asset_id", Text, nullable=False),
        *columns,
        ForeignKeyConstraint(
            ["conversation_id", "number"],
            [turns.c.conversation_id, turns.c.number],
            ondelete="CASCADE",
        ),
        Index(f"{name}_by_asset", "tenant_id", "asset_id"),
    )


turn_assets = _of_a_turn("conversation_assets")
"""The assets that came with a turn or were named in it."""

turn_citations = _of_a_turn(
    "conversation_citations",
    # A serialised gateway.v1.Citation.
    Column("citation", LargeBinary, nullable=False),
)

turn_evidence = _of_a_turn(
    "conversation_evidence",
    # A serialised media.v1.WeightedEvidence.
    Column("evidence", LargeBinary, nullable=False),
)
