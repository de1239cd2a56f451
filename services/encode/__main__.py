"""Runs the encode stage alone."""

from services.encode.stage import build
from services.runtime.server import run
from services.runtime.settings import load_settings

if __name__ == "__main__":
    run({"encode": build}, load_settings())
