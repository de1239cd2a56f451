"""Which files of a folder there are to send, in an order that does not change."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sensorium_client.media import shown_name


@dataclass(frozen=True)
class FoundFile:
    """A file, and where it lies in its folder."""

    path: Path
    relative_path: str
    """Below the folder that was named, with "/"; the name alone where the file itself was.
    As text, see ``shown_name``."""
    size_bytes: int
    modified_ns: int
    """Of its content, nanoseconds since 1970."""


@dataclass(frozen=True)
class Selection:
    """Globs held against the relative path: ``*.jpg`` matches in every folder (``*`` takes "/"
    too), ``scans/*`` all below one. No ``include`` means everything; ``exclude`` wins."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, relative_path: str) -> bool:
        """Whether a file belongs."""
        wanted = not self.include or _matches(relative_path, self.include)
        return wanted and not _matches(relative_path, self.exclude)


def _matches(relative_path: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(relative_path, glob) for glob in globs)


_EVERYTHING = Selection()


def find_files(paths: Iterable[Path], selection: Selection = _EVERYTHING) -> Iterator[FoundFile]:
    """The files below folders, and files named themselves, each once. Blocks.

    Hidden files and folders are left out: they are a system's own. So are links
    out of the folder, links to folders, and what is no regular file. What cannot be
    looked at, a folder too, is among them, to fail when it is read.
    """
    seen: set[Path] = set()
    for path in paths:
        for file in _below(path) if path.is_dir() else iter((found_file(path, path.name),)):
            if file.path not in seen and selection.takes(file.relative_path):
                seen.add(file.path)
                yield file


def _below(root: Path) -> Iterator[FoundFile]:
    home = root.resolve()
    closed: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=closed.append):
        # In place: it is what os.walk descends into, in this order.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            relative_path = path.relative_to(root).as_posix()
            try:
                if name.startswith(".") or not path.is_file():
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(home):
                    continue
                yield found_file(path, relative_path)
            except OSError:
                yield absent_file(path, relative_path)
    for error in closed:
        path = Path(error.filename)
        yield absent_file(path, path.relative_to(root).as_posix())


def found_file(path: Path, relative_path: str) -> FoundFile:
    """A file as it is now. Raises OSError."""
    status = path.stat()
    return FoundFile(path, shown_name(relative_path), status.st_size, status.st_mtime_ns)


def absent_file(path: Path, relative_path: str) -> FoundFile:
    """A file that cannot be looked at now."""
    return FoundFile(path, shown_name(relative_path), 0, 0)
