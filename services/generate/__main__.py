"""Serve the generate stage alone: ``python -m services.generate``."""

from services.generate.stage import build
from services.runtime.server import run
from services.runtime.settings import load_settings

if __name__ == "__main__":
    run({"generate": build}, load_settings())
