"""Which files of a folder are sent: the same ones in the same order, and none from elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensorium_client.bulk.walk import Selection, find_files

_NAMES = st.sampled_from(["a", "b.txt", "C.jpg", "ä.md", ".hidden", "z z.txt"])
_TREES = st.sets(st.lists(_NAMES, min_size=1, max_size=3).map(tuple), max_size=12)


def paths_of(root: Path, selection: Selection = Selection()) -> list[str]:  # noqa: B008
    """The relative paths found below a folder."""
    return [file.relative_path for file in find_files([root], selection)]


@given(tree=_TREES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_shown_file_is_found_once_in_an_order_that_does_not_change(
    tree: set[tuple[str, ...]], tmp_path_factory: object
) -> None:
    root = tmp_path_factory.mktemp("tree")  # type: ignore[attr-defined]
    written = []
    for parts in sorted(tree):
        path = root.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("/".join(parts))
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            continue
        written.append(parts)
    found = paths_of(root)
    shown = {"/".join(parts) for parts in written if not any(p.startswith(".") for p in parts)}
    assert set(found) == shown
    assert len(found) == len(shown)
    assert found == paths_of(root)


def test_globs_choose_and_exclusion_wins(tmp_path: Path) -> None:
    for name in ("a.txt", "b.jpg", "drafts/c.txt", "drafts/deep/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert paths_of(tmp_path, Selection(include=("*.jpg",))) == ["b.jpg", "drafts/deep/d.jpg"]
    chosen = Selection(include=("*.txt", "b.*"), exclude=("drafts/*",))
    assert paths_of(tmp_path, chosen) == ["a.txt", "b.jpg"]


def test_links_are_followed_within_the_folder_only(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "real.txt").write_text("real")
    (root / "inner.txt").symlink_to(root / "real.txt")
    (root / "outer.txt").symlink_to(outside / "secret.txt")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "broken.txt").symlink_to(root / "absent.txt")
    assert paths_of(root) == ["inner.txt", "real.txt"]


def test_a_file_named_twice_is_found_once(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    found = list(find_files([tmp_path / "one.txt", tmp_path]))
    assert [(file.relative_path, file.size_bytes) for file in found] == [("one.txt", 3)]


def test_what_cannot_be_looked_at_is_among_the_files_and_fails_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed/a.txt", "open/b.txt", "open/gone.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    scan, look = os.scandir, Path.stat

    def scandir(path: str) -> "Iterator[os.DirEntry[str]]":
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "gone.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "stat", stat)
    assert paths_of(tmp_path) == ["open/b.txt", "open/gone.txt", "closed"]
