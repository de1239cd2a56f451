"""Conversations that last: their turns in the database, their evidence at hand."""
