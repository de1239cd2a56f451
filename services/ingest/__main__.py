"""Serve the ingest stage alone: ``python -m services.ingest``."""

from services.ingest.stage import build
from services.runtime.server import run
from services.runtime.settings import load_settings

if __name__ == "__main__":
    run({"ingest": build}, load_settings())
