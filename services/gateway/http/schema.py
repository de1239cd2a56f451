"""What the bodies of requests and responses have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FILE_ID_CHARACTERS_MAX = 64
FileId = Annotated[str, Field(max_length=FILE_ID_CHARACTERS_MAX)]
"""Id of a stored file."""


class Schema(BaseModel):
    """A body, or a part of one. OpenAPI describes its fields by their docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=True)
