"""``/v1/models``: what answers."""

from typing import Literal

from fastapi import Request

from services.gateway.http.front import FrontDep
from services.gateway.http.models import model_names
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema
from services.runtime.errors import NotFound

router = Router(prefix="/v1/models", tags=["models"])


class Model(Schema):
    """A model that answers."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """When this server began to offer it, in seconds since 1970."""
    owned_by: str = "sensorium"


class ModelList(Schema):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("")
async def list_models(request: Request, front: FrontDep) -> ModelList:
    """The models that answer, embed, transcribe and moderate."""
    async with front.enter(request, "ListAssets"):
        names = model_names(front.settings)
        return ModelList(data=[Model(id=name, created=front.started_s) for name in names])


@router.get("/{model_id:path}")
async def retrieve_model(model_id: str, request: Request, front: FrontDep) -> Model:
    """One model."""
    async with front.enter(request, "ListAssets"):
        if model_id not in model_names(front.settings):
            raise NotFound("MODEL_UNKNOWN", "There is no such model.", subject="model")
        return Model(id=model_id, created=front.started_s)
