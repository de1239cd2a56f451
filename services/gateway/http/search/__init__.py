"""Searches as JSON, and what they found."""
