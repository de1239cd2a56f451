"""Run all stages in one process, or those named: ``python -m services [STAGE...]``."""

import sys

from services.host import STAGE_NAMES, serve
from services.runtime.settings import load_settings

if __name__ == "__main__":
    names = sys.argv[1:]
    if unknown := set(names) - set(STAGE_NAMES):
        sys.exit(f"unknown stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGE_NAMES)}")
    serve(names, load_settings())
