"""Query parameters: the types that several routes share, and the refusal of unknown names."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from domain.types import MAX_CAMPAIGN_ID

CampaignQuery = Annotated[int | None, Query(ge=1, le=MAX_CAMPAIGN_ID)]


def require_known_params(request: Request) -> None:
    """Checks the names of a query's parameters, because a misspelt filter would match everything.

    Raises:
        RequestValidationError: a name is unknown to the route, or given twice.
    """
    if not request.scope["query_string"]:
        return
    route: APIRoute = request.scope["route"]
    known = set(_names(route.dependant))
    given = [name for name, _ in request.query_params.multi_items()]
    wrong = {name: "there is no such parameter" for name in given if name not in known}
    wrong |= {name: "it is given twice" for name in given if given.count(name) > 1}
    if wrong:
        raise RequestValidationError([{"loc": ("query", name), "msg": message} for name, message in wrong.items()])


def _names(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from model.model_fields
        else:
            yield parameter.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
