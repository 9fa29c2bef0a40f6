"""Switches: what operators change at run time."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from console.access import FormDep, OperatorDep, ViewerDep
from console.changed import Changed, changed_since
from console.forms import field_problems, form_act, new_act_id
from console.problems import FieldProblem
from console.rendering import done, render
from db.settings.audit import ChangedSinceError, latest_change
from db.settings.switches import list_switches, set_switch
from domain.errors import ErrorCode, Refusal
from domain.switches import MallChannel, Switches

router = APIRouter()


@router.get("/switches")
async def switches(request: Request, _viewer: ViewerDep, container: ContainerDep) -> Response:
    found = [(switch, _shown(switch.value)) for switch in await list_switches(container.database)]
    return render(request, "switches/list.html", switches=found)


@router.get("/switches/{name}")
async def ask(request: Request, name: str, _operator: OperatorDep, container: ContainerDep) -> Response:
    _require_switch(name)
    seen = await latest_change(container.database, f"switch/{name}")
    value = next(switch.value for switch in await list_switches(container.database) if switch.name == name)
    return _ask(request, name, "true" if value is True else _shown(value), seen=seen)


@router.post("/switches/{name}")
async def change(request: Request, name: str, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    _require_switch(name)
    text, act = form.get("value", ""), form_act(form)
    try:
        wanted = Switches.model_validate({name: _value(name, text)})
        await set_switch(container.database, name, wanted, by=operator.author, now=datetime.now(UTC), form=act)
    except ValidationError as exc:
        return _ask(request, name, text, field_problems(exc), seen=act.seen)
    except ChangedSinceError as exc:
        return _ask(request, name, text, changed=changed_since(exc), seen=exc.latest.change_no)
    return done(request, "/switches")


def _ask(
    request: Request,
    name: str,
    text: str,
    errors: list[FieldProblem] | None = None,
    *,
    changed: Changed | None = None,
    seen: int,
) -> Response:
    return render(
        request,
        "switches/change.html",
        409 if changed else 422 if errors else 200,
        name=name,
        text=text,
        errors=errors or [],
        changed=changed,
        seen=seen,
        act_id=new_act_id(),
    )


def _value(name: str, text: str) -> Any:  # noqa: ANN401 - the value of any switch
    match name:
        case "suspended":
            return text == "true"
        case "rollout":
            return int(text) if text.isascii() and text.isdecimal() else text
        case _:
            fields = MallChannel.model_fields
            return [dict(zip(fields, line.split(), strict=False)) for line in text.split("\n") if line.strip()]


def _shown(value: Any) -> str:  # noqa: ANN401 - the value of any switch
    if isinstance(value, list):
        return "\n".join(" ".join(channel.values()) for channel in value)
    return "" if value is False else str(value)


def _require_switch(name: str) -> None:
    if name not in Switches.model_fields:
        raise Refusal(ErrorCode.SWITCH_NOT_FOUND, f"There is no switch {name}.")
