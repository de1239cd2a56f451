"""What the bodies of requests and responses have in common."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """A body, or a part of one. OpenAPI describes its fields by their docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=True)
