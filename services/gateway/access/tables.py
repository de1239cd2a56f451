"""The table of API keys."""

from sqlalchemy import Column, Double, String, Table

from services.gateway.database.engine import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(12), primary_key=True),
    # Of a random secret of 256 bits, which no guess finds: a slow hash would add nothing.
    Column("secret_sha256", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("tenant_id", String(64), nullable=False, index=True),
    Column("user_id", String(128), nullable=False),
    # Words with spaces between.
    Column("scopes", String(128), nullable=False),
    Column("priority", String(16), nullable=False),
    # Seconds since 1970.
    Column("create_time_s", Double, nullable=False),
    Column("expire_time_s", Double),
    Column("revoke_time_s", Double),
)
