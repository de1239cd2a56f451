"""Stored assets as OpenAI's files, and files on their way into the store."""
