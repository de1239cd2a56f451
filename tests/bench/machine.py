"""What the numbers were measured on."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("grpcio", "protobuf", "openvino", "faster-whisper", "xllamacpp", "av", "lancedb")


def describe() -> dict[str, str]:
    """CPU, memory, versions and how busy the machine is."""
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "commit": _commit(),
        "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(absent)"


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
