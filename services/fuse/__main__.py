"""Serves the fuse stage alone: ``python -m services.fuse``."""

from services.fuse.stage import build
from services.runtime.server import run
from services.runtime.settings import load_settings

if __name__ == "__main__":
    run({"fuse": build}, load_settings())
