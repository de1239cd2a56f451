"""Task results as bytes, for the cache: a JSON head, then the vectors.

Never pickle: what comes back from Redis is not ours to trust.
"""

import json
import struct
from typing import Any

from services.encode.segments import Box, Finding, SpokenWord, Task, TaskResult

_HEAD = struct.Struct("<II")


def pack(result: TaskResult) -> bytes:
    """The bytes of a result."""
    head = {
        "size": [result.width_px, result.height_px],
        "findings": [_plain(finding) for finding in result.findings],
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    vectors = b"".join(finding.vector for finding in result.findings)
    return _HEAD.pack(len(text), len(result.vector)) + text + result.vector + vectors


def unpack(data: bytes) -> TaskResult:
    """The result that ``pack`` made the bytes of."""
    text_bytes, vector_bytes = _HEAD.unpack_from(data)
    head_end = _HEAD.size + text_bytes
    head = json.loads(data[_HEAD.size : head_end])
    offset = head_end + vector_bytes
    findings = []
    for plain in head["findings"]:
        findings.append(_finding(plain, data[offset : offset + plain["vector"]]))
        offset += plain["vector"]
    width_px, height_px = head["size"]
    return TaskResult(
        data[head_end : head_end + vector_bytes], tuple(findings), width_px, height_px
    )


def _plain(finding: Finding) -> dict[str, Any]:
    box = finding.box
    return {
        "task": finding.task.value,
        "text": finding.text,
        "confidence": finding.confidence,
        "vector": len(finding.vector),
        "box": box and [box.left_px, box.top_px, box.width_px, box.height_px],
        "span": [finding.start_s, finding.end_s],
        "language": finding.language,
        "words": [[w.text, w.start_s, w.end_s, w.confidence] for w in finding.words],
    }


def _finding(plain: dict[str, Any], vector: bytes) -> Finding:
    start_s, end_s = plain["span"]
    return Finding(
        task=Task(plain["task"]),
        text=plain["text"],
        confidence=plain["confidence"],
        vector=vector,
        box=Box(*plain["box"]) if plain["box"] else None,
        start_s=start_s,
        end_s=end_s,
        language=plain["language"],
        words=tuple(SpokenWord(*word) for word in plain["words"]),
    )
