"""What the bodies of requests and responses have in common."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic.config import JsonDict

from services.runtime.errors import InvalidInput

FILE_ID_CHARACTERS_MAX = 64
FileId = Annotated[str, Field(max_length=FILE_ID_CHARACTERS_MAX)]
"""Id of a stored file."""

# What OpenAPI tells of strings that are checked further in, where the error says more.
Words = Annotated[str, Field(json_schema_extra={"pattern": r"\S"})]
"""Words of which some are not blank."""
MediaUrl = Annotated[
    str,
    Field(json_schema_extra={"pattern": r"^(data:[^,]*;base64,[A-Za-z0-9+/\s]|https?://[^/?#@]+)"}),
]
"""``data:<media type>;base64,...``, or http(s)."""
Language = Annotated[
    str, Field(max_length=16, json_schema_extra={"pattern": "^(auto|[a-z]{2,3})?$"})
]
"""ISO 639-1 code of speech; "auto" detects it; empty means "en"."""


class Schema(BaseModel):
    """A body, or a part of one. OpenAPI describes its fields by their docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Strict(Schema):
    """A body, or a part of one, that no client of another service sends: a field that it does not
    know is misspelled, and refused."""

    model_config = ConfigDict(extra="forbid")


def one_of(first: str, second: str) -> JsonDict:
    """What OpenAPI tells of a body that needs at least one of two fields. Generators of clients
    pass over it, where ``anyOf`` would make them tell two types apart."""
    return {"if": {"not": {"required": [first]}}, "then": {"required": [second]}}


def unsupported(param: str) -> InvalidInput:
    """The error of a field that would change the answer, and is not done."""
    return InvalidInput(
        "PARAM_UNSUPPORTED",
        f"This server does not support this value of {param}; leave it out.",
        subject=param,
    )


def _refuse(sent: Any, info: ValidationInfo) -> Any:
    if sent and info.field_name:
        raise unsupported(info.field_name)
    return sent


Unsupported = AfterValidator(_refuse)
"""Of a field that is only taken empty. Raises InvalidInput PARAM_UNSUPPORTED."""
