"""Conversations, their turns, and what those rest on."""

import sqlalchemy as sa
from alembic import op

revision = "conversations_0001"
down_revision = None
branch_labels = ("conversations",)
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "conversations",
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("update_time_us", sa.BigInteger, nullable=False),
        sa.Column("turn_count", sa.Integer, nullable=False),
    )
    op.create_index(
        "conversations_by_use",
        "conversations",
        ["tenant_id", "update_time_us", "conversation_id"],
    )
    op.create_table(
        "conversation_turns",
        sa.Column(
            "conversation_id",
            sa.String(64),
            sa.ForeignKey("conversations.conversation_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.Integer, nullable=False),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("complete_time_us", sa.BigInteger, nullable=False),
    )
    _of_a_turn("conversation_assets")
    _of_a_turn("conversation_citations", sa.Column("citation", sa.LargeBinary, nullable=False))


def _of_a_turn(name: str, *columns: sa.Column[bytes]) -> None:
    op.create_table(
        name,
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["conversation_id", "number"],
            ["conversation_turns.conversation_id", "conversation_turns.number"],
            ondelete="CASCADE",
        ),
    )
    op.create_index(f"{name}_by_asset", name, ["tenant_id", "asset_id"])


def downgrade() -> None:
    """Drop the tables, those that refer to others first."""
    for table in (
        "conversation_citations",
        "conversation_assets",
        "conversation_turns",
        "conversations",
    ):
        op.drop_table(table)
