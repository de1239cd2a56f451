"""What requests took."""

import sqlalchemy as sa
from alembic import op

revision = "usage_0001"
down_revision = None
branch_labels = ("usage",)
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "usage_records",
        sa.Column(
            "record_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
        ),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("start_time_s", sa.Double, nullable=False),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("credential_id", sa.String(128), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("prompt_token_count", sa.BigInteger, nullable=False),
        sa.Column("cached_token_count", sa.BigInteger, nullable=False),
        sa.Column("completion_token_count", sa.BigInteger, nullable=False),
        sa.Column("media_s", sa.Double, nullable=False),
        sa.Column("media_bytes", sa.BigInteger, nullable=False),
        sa.Column("segment_count", sa.BigInteger, nullable=False),
        sa.Column("cache_hit_count", sa.BigInteger, nullable=False),
        sa.Column("cost_micros", sa.BigInteger, nullable=False),
    )
    op.create_index("usage_by_tenant", "usage_records", ["tenant_id", "start_time_s"])
    op.create_index("usage_by_time", "usage_records", ["start_time_s"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("usage_records")
