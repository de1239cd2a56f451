"""What can be chosen about an answer."""

from dataclasses import dataclass

from sensorium.gateway.v1 import gateway_pb2


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
    frame_count_max: int = 0
    """Most frames sampled from one video; 0 means the server's default."""
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
            language=self.language, frame_count_max=self.frame_count_max
        )
