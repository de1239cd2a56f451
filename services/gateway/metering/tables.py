"""The table of what requests took."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, String, Table

from services.gateway.database.engine import metadata

usage_records = Table(
    "usage_records",
    metadata,
    # SQLite counts by itself in a column of exactly this type.
    Column("record_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    # Day of the start in UTC, as 2026-11-24: what most reports add up by.
    Column("day", String(10), nullable=False),
    # Seconds since 1970.
    Column("start_time_s", Double, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("credential_id", String(128), nullable=False),
    Column("method", String(64), nullable=False),
    # "OK", "CANCELLED" or the reason of the error.
    Column("outcome", String(64), nullable=False),
    Column("prompt_token_count", BigInteger, nullable=False),
    Column("cached_token_count", BigInteger, nullable=False),
    Column("completion_token_count", BigInteger, nullable=False),
    Column("media_s", Double, nullable=False),
    Column("media_bytes", BigInteger, nullable=False),
    Column("segment_count", BigInteger, nullable=False),
    Column("cache_hit_count", BigInteger, nullable=False),
    # Millionths of the currency of the price file.
    Column("cost_micros", BigInteger, nullable=False),
    Index("usage_by_tenant", "tenant_id", "start_time_s"),
    Index("usage_by_time", "start_time_s"),
)
