"""Reads the bodies of requests: JSON, forms that stream, media inside of JSON."""
