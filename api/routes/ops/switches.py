"""Switches: settings that operators change at run time."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError, WithJsonSchema

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Page
from api.http.routing import api_router
from db.settings.switches import list_switches, set_switch
from domain.errors import ErrorCode, Refusal
from domain.schemas.switches import Switch
from domain.switches import MallChannel, Switches
from domain.types import Identifier, Schema

router = api_router("/v1/ops/switches", tags=["administration"])

VALUE_SCHEMA = {
    "anyOf": [
        {"type": "boolean", "description": "`suspended`"},
        {"type": "integer", "minimum": 0, "maximum": 100, "description": "`rollout`"},
        {"type": "array", "maxItems": 1000, "items": MallChannel.model_json_schema(), "description": "`blocked`"},
    ],
    "examples": [True],
}


class SwitchValue(Schema):
    value: Annotated[Any, WithJsonSchema(VALUE_SCHEMA)]


@router.get("")
async def get_switches(_ops: OpsDep, container: ContainerDep) -> Page[Switch]:
    """List every switch, also those that have their default value."""
    return Page(data=await list_switches(container.database), next_cursor=None)


@router.get("/{name}")
async def get_switch(name: Identifier, _ops: OpsDep, container: ContainerDep) -> Switch:
    _require_switch(name)
    return next(switch for switch in await list_switches(container.database) if switch.name == name)


@router.put("/{name}")
async def put_switch(name: Identifier, body: SwitchValue, ops: OpsDep, container: ContainerDep) -> Switch:
    """Set a switch. It takes effect in every process within a second."""
    _require_switch(name)
    try:
        switches = Switches.model_validate({name: body.value})
    except ValidationError as exc:
        errors = [{**error, "loc": ("body", "value", *error["loc"][1:])} for error in exc.errors()]
        raise RequestValidationError(errors) from exc
    return await set_switch(container.database, name, switches, by=ops, now=datetime.now(UTC))


def _require_switch(name: str) -> None:
    if name not in Switches.model_fields:
        known = ", ".join(Switches.model_fields)
        raise Refusal(ErrorCode.SWITCH_NOT_FOUND, f"There is no switch {name}; the switches are {known}.")
