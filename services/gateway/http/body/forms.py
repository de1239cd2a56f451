"""Fields of a form as a typed request, and forms as OpenAPI describes them."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.gateway.http.body.json_body import invalid
from services.gateway.http.body.multipart import FormField

ModelT = TypeVar("ModelT", bound=BaseModel)


class FormFields:
    """Fields as they come. ``name[]`` is how clients send the items of a list."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def add(self, field: FormField) -> None:
        """Take in a field."""
        self._values.setdefault(field.name, []).append(field.value)

    def read(self, model: type[ModelT]) -> ModelT:
        """What has come so far as a model. Raises InvalidInput, naming the field."""
        values: dict[str, str | list[str]] = {}
        for name, sent in self._values.items():
            is_list = name.endswith("[]") or len(sent) > 1
            values[name.removesuffix("[]")] = sent if is_list else sent[0]
        try:
            return model.model_validate(values)
        except ValidationError as error:
            problem = error.errors()[0]
        raise invalid(values, problem)


def form_body(model: type[BaseModel], file: str = "The file.") -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a ``file`` and the fields of a model as a form."""
    schema = model.model_json_schema()
    schema["properties"]["file"] = {"type": "string", "format": "binary", "description": file}
    schema["required"] = [*schema.get("required", ()), "file"]
    for name in schema["required"]:
        # A field that may come after the file has one until it does.
        schema["properties"][name].pop("default", None)
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
