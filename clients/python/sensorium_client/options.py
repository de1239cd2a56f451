"""What can be chosen about an answer."""

import enum
from dataclasses import dataclass

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2


class FrameSamplingMethod(enum.StrEnum):
    """How the frames of a video are chosen."""

    UNIFORM = "uniform"
    """At even distances."""
    KEYFRAMES = "keyframes"
    """The key frames that the video was stored with."""
    SCENE = "scene"
    """One for each shot."""


_METHODS = {
    FrameSamplingMethod.UNIFORM: media_pb2.FRAME_SAMPLING_METHOD_UNIFORM,
    FrameSamplingMethod.KEYFRAMES: media_pb2.FRAME_SAMPLING_METHOD_KEYFRAMES,
    FrameSamplingMethod.SCENE: media_pb2.FRAME_SAMPLING_METHOD_SCENE,
}


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """How media is perceived and an answer made. The defaults are the server's."""

    model: str = ""
    """Reference of the language model."""
    max_tokens: int = 0
    """Most tokens of the answer; 0 means the server's default."""
    temperature: float = 0.0
    """0 takes the most likely token each time; at most 2."""
    top_p: float = 0.0
    """Nucleus probability; 0 means 1."""
    seed: int | None = None
    """Fixes the random numbers."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer; at most 8."""
    evidence_token_budget: int = 0
    """Most tokens of evidence; 0 means the server's default."""
    recall: bool = False
    """Whether stored assets that fit the question are consulted too."""
    language: str = ""
    """ISO 639-1 code of the speech; "auto" detects it; empty means "en"."""
    frame_sampling: FrameSamplingMethod = FrameSamplingMethod.UNIFORM
    """How the frames of a video are chosen. A stored one that is reused was sampled
    when it was stored."""
    frame_count_max: int = 0
    """Most frames sampled from one video; 0 means the server's default."""
    frame_rate_hz: float = 0.0
    """Most frames a second, at most 30; 0 leaves it to the way of sampling."""
    word_times: bool = False
    """Whether transcripts carry the time of every word."""
    partial_transcripts: bool = False
    """Whether ``partial_transcript`` events tell of words while they are being said."""
    reuse_stored: bool = True
    """Whether files that the server already has are named instead of sent."""

    def answer_message(self) -> gateway_pb2.AnswerOptions:
        """The part about the answer, as the contract has it."""
        return gateway_pb2.AnswerOptions(
            model=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=self.stop,
            evidence_token_budget=self.evidence_token_budget,
            recall=self.recall,
        )

    def perception_message(self) -> gateway_pb2.PerceptionOptions:
        """The part about perception, as the contract has it."""
        return gateway_pb2.PerceptionOptions(
            language=self.language,
            word_times=self.word_times,
            partial_transcripts=self.partial_transcripts,
            frame_sampling=media_pb2.FrameSampling(
                method=_METHODS[self.frame_sampling],
                frame_count_max=self.frame_count_max,
                frame_rate_hz=self.frame_rate_hz,
            ),
        )
