"""Fail if gen/ is not what the protos generate."""

import filecmp
import sys
import tempfile
from pathlib import Path

from generate_stubs import GEN, LANGUAGES, Language, Missing


def differences(language: Language, fresh: Path) -> list[str]:
    """Files that differ, are missing, or should not be there, relative to ``gen``."""
    committed = language.committed
    names = {
        path.relative_to(folder)
        for folder in (committed, fresh)
        for package in language.packages
        for path in (folder / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    return sorted(
        str((committed / name).relative_to(GEN))
        for name in names
        if not (committed / name).exists()
        or not (fresh / name).exists()
        or not filecmp.cmp(committed / name, fresh / name, shallow=False)
    )


def main() -> None:
    """Generate everything anew beside what is committed, and compare."""
    stale = []
    for language in LANGUAGES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                language.generate(Path(folder))
            except Missing as missing:
                print(f"gen/{language.name} is not checked: {missing}")
                continue
            stale += differences(language, Path(folder))
    if stale:
        print("gen/ is out of date, run `make stubs`:", *stale, sep="\n  ")
        sys.exit(1)


if __name__ == "__main__":
    main()
