"""The fields of a transcription."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, ConfigDict, Field

from services.gateway.http.schema import Language, Schema, Unsupported

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["word", "segment"]
IN_JSON: tuple[Format, ...] = ("json", "verbose_json")


def _listed(sent: Any) -> Any:
    """A list of one may come as the one."""
    return [sent] if isinstance(sent, str) else sent


def _detected(language: str) -> str:
    """Empty means not told, as it does to clients of OpenAI's API."""
    return language or "auto"


DetectedLanguage = Annotated[Language, AfterValidator(_detected)]


class TranscriptionForm(Schema):
    """The fields beside the file, as OpenAI's API has them. What comes after the file counts too,
    but words that are streamed before it comes do not wait for it."""

    model: str = ""
    """Accepted and not used: one model hears everything in a language."""
    language: DetectedLanguage = Field("auto", examples=["en", "auto"])
    """ISO 639-1 code of the speech; "auto" detects it, as without it. English that is said to be
    English is heard by a smaller, faster model."""
    prompt: str = ""
    """Accepted and not used."""
    response_format: Format = Field("json", examples=["verbose_json", "srt"])
    timestamp_granularities: Annotated[list[Granularity], BeforeValidator(_listed)] = Field(
        default_factory=list, examples=[["word", "segment"]]
    )
    """Of verbose_json; without any it has segments. Word times take a little longer."""
    stream: bool = False
    """Whether the words come as server-sent events while they are heard."""
    temperature: float = Field(0.0, allow_inf_nan=False)
    """Accepted and not used."""
    include: Annotated[list[str], BeforeValidator(_listed), Unsupported] = Field(
        default_factory=list, json_schema_extra={"maxItems": 0}
    )
    """Only empty: log probabilities are not told."""

    @property
    def word_times(self) -> bool:
        """Whether the time of every word is needed: subtitles are cut by them."""
        return "word" in self.timestamp_granularities or self.response_format in ("srt", "vtt")

    @property
    def question(self) -> str:
        """What is asked about it."""
        return ""


class TranscribeForm(TranscriptionForm):
    """The fields of a transcription that is asked about."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field("", examples=["Sum it up in one sentence."])
    """A question or a task, answered over what was said; at most 8,000 characters. Only with the
    formats json and verbose_json."""
    response_format: Format = Field(
        "json", validation_alias=AliasChoices("format", "response_format")
    )
    include_timestamps: bool = False
    """Whether json tells the times of segments and words."""

    @property
    def word_times(self) -> bool:
        """Whether the time of every word is needed."""
        return self.include_timestamps or super().word_times

    @property
    def question(self) -> str:
        """What is asked about it."""
        return self.prompt
