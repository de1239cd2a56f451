"""Benchmarks: this platform beside what a user would run instead. ``python -m tests.bench``."""
