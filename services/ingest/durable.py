"""Files and folders that survive a crash once a call returns. Everything here blocks."""

import errno
import os
import shutil
import uuid
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def write_file(path: Path, data: bytes) -> None:
    """Write or replace a file: after a crash it is the old one or the new one, never half."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_all(descriptor, data, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    sync_folder(path.parent)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of the data; a single write stops short where the disk gets full."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_file(source: Path, target: Path) -> None:
    """Give a synced file a second name, durable; no bytes are copied.

    A file that is already there under that name is left as it is.
    """
    make_folder(target.parent)
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return
    sync_folder(target.parent)


def remove_file(path: Path) -> None:
    """Remove a file for good; nothing where there is none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it for good; nothing where there is none.

    What another thread writes there meanwhile goes too.
    """
    while folder.is_dir():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
        sync_folder(folder.parent)
