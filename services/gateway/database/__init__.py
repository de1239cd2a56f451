"""The gateway's own records (not media): conversations, keys, usage. SQLite or PostgreSQL."""
