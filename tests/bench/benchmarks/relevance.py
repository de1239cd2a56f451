"""Fits the curves of services/gateway/relevance.py on pairs that are known to match or not.

Questions with known evidence (their number is small) tell of what is said and written; the
stamps tell of pictures by their captions, and of pictures by pictures of the same folder.
"""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2
from sensorium_client import Client
from sensorium_client.media import MediaFile, file_sha256

from services.gateway.catalogue import list_documents
from services.gateway.perception import embed_text
from services.gateway.relevance import CURVES, Curve, Found, Sought
from services.gateway.search import FOUND
from services.gateway.stages import Stages, connect
from services.runtime.calls import CallScope
from services.runtime.settings import Settings
from tests.bench.questions import MEDIA, PAIRS, Pair, matches
from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.bench.stamps import Stamp, development_half

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

_NEWTON_STEPS = 50
_RIDGE = 1e-6
# Sentences are alike, said or written; there are few of each.
_POOLED = {Found.SPEECH: "sentence", Found.PASSAGE: "sentence"}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Similarities of one kind of match, right and wrong ones."""

    right: Numbers
    wrong: Numbers


async def run(plan: Plan) -> list[Row]:
    """Once: there is nothing random in it."""
    if shutil.which("espeak-ng") is None:
        plan.say("left out: install Debian's espeak-ng")
        return []
    async with serving(plan.folder) as server, Client(server.address) as client:
        stages = connect(Settings(port=int(server.address.rpartition(":")[2])))
        try:
            pairs = await _of_questions(client, stages, plan.folder)
            pairs |= await _of_stamps(client, stages)
        finally:
            await stages.close()
    return [
        _row(sought, found, pairs[sought, found])
        for sought, found in CURVES
        if (sought, found) in pairs
    ]


def fit(pairs: Pairs) -> Curve:
    """The curve of the least cross-entropy, right and wrong pairs weighing the same in all,
    with Platt's targets, which few pairs do not drive to 0 and 1."""
    similarity = np.concatenate([pairs.right, pairs.wrong])
    right, wrong = len(pairs.right), len(pairs.wrong)
    target = np.repeat([(right + 1) / (right + 2), 1 / (wrong + 2)], [right, wrong])
    weight = np.repeat([0.5 / right, 0.5 / wrong], [right, wrong])
    inputs = np.stack([similarity, np.ones_like(similarity)], axis=1)
    parameters = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-inputs @ parameters))
        gradient = inputs.T @ (weight * (probability - target))
        curvature = weight * probability * (1 - probability)
        hessian = inputs.T @ (inputs * curvature[:, None]) + _RIDGE * np.eye(2)
        parameters -= np.linalg.solve(hessian, gradient)
    slope, offset = parameters.tolist()
    return Curve(slope, -offset / slope)


def separation(pairs: Pairs) -> float:
    """How often a right pair is nearer than a wrong one (the area under the ROC curve)."""
    right = np.sort(pairs.right)
    below = np.searchsorted(right, pairs.wrong, "left")
    level = np.searchsorted(right, pairs.wrong, "right")
    above = len(right) - level + (level - below) / 2
    return float(above.mean() / len(right))


def _row(sought: Sought, found: Found, pairs: Pairs) -> Row:
    curve, ours = fit(pairs), CURVES[sought, found]
    return Row(
        name=f"relevance: {sought.value} to {found.value}",
        measured=f"Curve({curve.slope:.1f}, {curve.middle:.3f})",
        against=f"in the code: Curve({ours.slope:.1f}, {ours.middle:.3f})",
        notes=[
            f"{len(pairs.right)} right and {len(pairs.wrong)} wrong pairs; a right one is nearer "
            f"than a wrong one {separation(pairs):.3f} of the time; median similarity "
            f"{np.median(pairs.right):.2f} and {np.median(pairs.wrong):.2f}"
        ],
    )


async def _of_questions(
    client: Client, stages: Stages, folder: Path
) -> dict[tuple[Sought, Found], Pairs]:
    """Questions and what was observed: right where it is the known evidence, wrong in other
    assets. The rest of the right asset is neither."""
    documents: dict[str, list[search_pb2.Document]] = {}
    for name, made in MEDIA.items():
        path = folder / name
        path.write_bytes(await asyncio.to_thread(made))
        asset_id = await client.stored_asset_id(path)
        documents[name] = await list_documents(stages, CallScope(), asset_id)
    right: dict[str, list[float]] = {}
    wrong: dict[str, list[float]] = {}
    for pair in PAIRS:
        question = _vector(await embed_text(stages, CallScope(), pair.question))
        for name, document in _each(documents):
            found = FOUND[document.evidence.origin]
            kind = _POOLED.get(found, found.value)
            similarity = float(question @ _vector(document.embedding))
            if name not in pair.media:
                wrong.setdefault(kind, []).append(similarity)
            elif _is_evidence(pair, name, document.evidence):
                right.setdefault(kind, []).append(similarity)
    return {
        (Sought.WORDS, found): Pairs(np.array(right[kind]), np.array(wrong[kind]))
        for found in (Found.SPEECH, Found.PASSAGE, Found.OCR)
        for kind in (_POOLED.get(found, found.value),)
    }


async def _of_stamps(client: Client, stages: Stages) -> dict[tuple[Sought, Found], Pairs]:
    """Captions and pictures; pictures and pictures, right within a folder."""
    stamps = list(development_half())
    if not stamps:
        return {}
    files = [MediaFile(stamp.path, name=f"{index}.png") for index, stamp in enumerate(stamps)]
    async for _ in client.upload(files):
        pass
    by_hash = {asset.sha256: asset.content_id async for asset in client.list_assets()}
    captions, pictures, labels, folders = [], [], [], []
    label_of: list[int] = []
    for index, stamp in enumerate(stamps):
        asset_id = by_hash[await file_sha256(stamp.path)]
        captions.append(_vector(await embed_text(stages, CallScope(), stamp.caption)))
        folders.append(_folder(stamp))
        for document in await list_documents(stages, CallScope(), asset_id):
            found = FOUND[document.evidence.origin]
            if found is Found.LABEL:
                labels.append(_vector(document.embedding))
                label_of.append(index)
            elif found is Found.PICTURE and _is_view(document):
                pictures.append(_vector(document.embedding))
    each = np.arange(len(stamps))
    same = np.array(folders)[:, None] == np.array(folders)[None, :]
    np.fill_diagonal(same, False)
    other = ~same & ~np.eye(len(stamps), dtype=bool)
    words, seen, named = (np.stack(vectors) for vectors in (captions, pictures, labels))
    owner = np.array(label_of)
    return {
        (Sought.WORDS, Found.PICTURE): _pairs(words @ seen.T, each[:, None] == each[None, :]),
        (Sought.WORDS, Found.LABEL): _pairs(words @ named.T, each[:, None] == owner[None, :]),
        (Sought.PICTURE, Found.PICTURE): Pairs((seen @ seen.T)[same], (seen @ seen.T)[other]),
        (Sought.PICTURE, Found.LABEL): Pairs(
            (seen @ named.T)[same[:, owner]], (seen @ named.T)[other[:, owner]]
        ),
    }


def _pairs(similarities: Vectors, is_right: npt.NDArray[np.bool_]) -> Pairs:
    return Pairs(
        similarities[is_right].astype(np.float64), similarities[~is_right].astype(np.float64)
    )


def _each(
    documents: dict[str, list[search_pb2.Document]],
) -> Iterator[tuple[str, search_pb2.Document]]:
    return ((name, document) for name, listed in documents.items() for document in listed)


def _is_evidence(pair: Pair, name: str, evidence: evidence_pb2.Evidence) -> bool:
    if pair.evidence is None:
        return False
    asset_name, words = pair.evidence
    return name == asset_name and bool(words) and matches(words, evidence.text)


def _is_view(document: search_pb2.Document) -> bool:
    return document.segment_kind == media_pb2.SEGMENT_KIND_IMAGE_VIEW


def _folder(stamp: Stamp) -> str:
    return str(stamp.path.parent)


def _vector(embedding: media_pb2.Embedding) -> Vectors:
    return np.frombuffer(embedding.data, dtype="<f4").astype(np.float32)
