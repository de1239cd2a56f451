"""Classifiers as a hub keeps them, with random weights: no hub can be reached in a test."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "you", "are", "kind", "rude", "the", "tide", "is")
TEXT_LABELS = ("calm", "hostile", "threatening")
PICTURE_LABELS = ("peaceful", "fight", "blood")


def write_text_classifier(folder: Path, *, independent: bool) -> Path:
    """A BERT of two layers that reads 64 tokens; its labels exclude each other or do not."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=dict(enumerate(TEXT_LABELS)),
        problem_type="multi_label_classification" if independent else None,
        initializer_range=1.0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    fast: Any = PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer, **{f"{name}_token": word for name, word in names.items()}
    ).save_pretrained(folder)
    return folder


def write_picture_classifier(folder: Path) -> Path:
    """A vision transformer of two layers that sees 32 × 32 pixels."""
    torch.manual_seed(4)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(PICTURE_LABELS)),
        initializer_range=0.5,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
