"""Fail if gen/python is not what the protos generate."""

import filecmp
import sys
import tempfile
from pathlib import Path

from generate_stubs import ROOT, generate


def differences(committed: Path, fresh: Path) -> list[str]:
    """Files that differ, are missing, or should not be there, relative to the folders."""
    names = {
        path.relative_to(folder)
        for folder in (committed, fresh)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".py", ".pyi")
    }
    return sorted(
        str(name)
        for name in names
        if not (committed / name).exists()
        or not (fresh / name).exists()
        or not filecmp.cmp(committed / name, fresh / name, shallow=False)
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        stale = differences(ROOT / "gen" / "python", Path(folder))
    if stale:
        print("gen/python is out of date, run `make stubs`:", *stale, sep="\n  ")
        sys.exit(1)
