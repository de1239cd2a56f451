"""Engines that touch weights. ``registry`` names them all and imports none."""

import sys

# With this optional package OpenVINO reports its use to its vendor, from
# processes that it forks. Nothing leaves the machine: it is as if not installed.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
