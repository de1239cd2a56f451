"""Formats of files that the server and its client both write; it knows neither of them."""
