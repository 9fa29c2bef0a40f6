"""A query names what its call knows, each once: a filter that is misspelt must not find everything."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel


def require_known_params(request: Request) -> None:
    """Raises RequestValidationError for a name that the call does not know, or that comes twice."""
    if not request.scope["query_string"]:
        return
    route: APIRoute = request.scope["route"]
    known = set(_names(route.dependant))
    named = [name for name, _ in request.query_params.multi_items()]
    wrong = {name: "there is no such parameter" for name in named if name not in known}
    wrong |= {name: "it is given twice" for name in named if named.count(name) > 1}
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
