"""JSON files that a setting names, read into their types."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from services.runtime.errors import InvalidInput
from services.runtime.settings import ENV_PREFIX

T = TypeVar("T")


def read_json_file(kind: type[T], path: Path, setting: str) -> T:
    """A file as a value of ``kind``; ``setting`` is the one that names it.

    Raises:
        InvalidInput: ``<SETTING>_INVALID``, naming the field.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise _invalid(setting, error.strerror or "cannot be read") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _invalid(setting, f"{place}: {first['msg']}" if place else first["msg"]) from None


def _invalid(setting: str, problem: str) -> InvalidInput:
    variable = ENV_PREFIX + setting.upper()
    return InvalidInput(
        f"{setting.upper()}_INVALID",
        f"The file of {variable} is not right: {problem}.",
        subject=variable,
    )
