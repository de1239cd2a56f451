"""Run the gateway alone: ``python -m services.gateway``."""

from services.gateway.stage import build
from services.runtime.server import run
from services.runtime.settings import load_settings

if __name__ == "__main__":
    run({"gateway": build}, load_settings())
