"""Serves the search stage alone: ``python -m services.search``."""

from services.runtime.server import run
from services.runtime.settings import load_settings
from services.search.stage import build

if __name__ == "__main__":
    run({"search": build}, load_settings())
