"""What answers were weighed from, what they took, and where they are traced."""

import sqlalchemy as sa
from alembic import op

revision = "conversations_0002"
down_revision = "conversations_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and a column."""
    op.create_table(
        "conversation_evidence",
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id", "number"],
            ["conversation_turns.conversation_id", "conversation_turns.number"],
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "conversation_evidence_by_asset", "conversation_evidence", ["tenant_id", "asset_id"]
    )
    op.add_column("conversation_turns", sa.Column("details", sa.LargeBinary))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("conversation_turns", "details")
    op.drop_table("conversation_evidence")
