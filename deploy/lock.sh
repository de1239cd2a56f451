#!/usr/bin/env bash
# Write deploy/requirements.lock from the environment at hand: the whole closure,
# pinned, to be installed with --no-deps. Some packages ask for what the offline
# kit does not need (sentence-transformers and its kin); pip check names them.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/pip list --format=freeze --disable-pip-version-check 2>/dev/null |
  grep -viE '^(sensorium|pip|setuptools|wheel|distlib|openvino-telemetry)==' | sed 's/+cpu$//' | sort -f > deploy/requirements.lock
wc -l deploy/requirements.lock
