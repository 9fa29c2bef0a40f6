"""Forms: fields made from a pydantic model, what a browser sent as values of that model, and what is wrong with it."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from console.access import TOKEN_FIELD
from console.problems import FieldProblem
from db.settings.audit import FormAct
from domain.errors import ErrorCode, Refusal
from domain.types import Note, Schema, validation_message

ModelT = TypeVar("ModelT", bound=BaseModel)

Reason = Annotated[Note, Field(min_length=1)]
MAX_DIGITS = 18
"""of the number of a change"""
ActId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class ActFields(Schema):
    """What the form of every act sends."""

    act_id: ActId
    """the act is done once, however often the form is sent"""
    seen: str = ""
    """the state that the person saw"""


class ReasonedAct(ActFields):
    reason: Reason


class FormError(Exception):
    """What was sent is not valid."""

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        super().__init__(errors)
        self.errors = list(errors)


def new_act_id() -> str:
    return uuid.uuid4().hex


def act_id_of(form: Mapping[str, str]) -> str:
    """Returns the id of the act that a form asks for.

    Raises:
        Refusal: there is none; every page has one, so no person made this form.
    """
    try:
        return validated(ActFields, form).act_id
    except FormError:
        raise Refusal(ErrorCode.INVALID_REQUEST, "The form cannot be read.") from None


def recorded_id(form: Mapping[str, str]) -> str:
    """Returns the id under which the audit keeps what a form asks for: the form sent again has it too, with other texts not.

    A secret that follows from the form's own id does not follow from this one. Raises Refusal.
    """
    act_id_of(form)
    sent = json.dumps({name: text for name, text in form.items() if name != TOKEN_FIELD}, sort_keys=True)
    return hashlib.sha256(sent.encode()).hexdigest()[:32]


def form_act(form: Mapping[str, str]) -> FormAct:
    """Returns which act a form asks for, and what the person saw who sent it. Raises Refusal."""
    seen = form.get("seen", "")
    if not (seen.isascii() and seen.isdecimal() and len(seen) <= MAX_DIGITS):
        raise Refusal(ErrorCode.INVALID_REQUEST, "The form cannot be read.")
    return FormAct(recorded_id(form), int(seen))


def validated(model: type[ModelT], values: Mapping[str, Any]) -> ModelT:
    """Returns the model of these values; those that it has no field for are left out.

    Raises:
        FormError: they are not valid.
    """
    try:
        return model.model_validate({name: value for name, value in values.items() if name in model.model_fields})
    except ValidationError as exc:
        raise FormError(field_problems(exc)) from None


def field_problems(error: ValidationError) -> list[FieldProblem]:
    return [FieldProblem(".".join(map(str, each["loc"])), validation_message(each["msg"])) for each in error.errors()[:20]]


LABELS = {
    "source": "mall",
    "discount.plan": "kind of discount",
    "discount.expr": "amount of the discount",
    "discount.audience": "audience of the discount",
}
"""of fields whose names say too little by themselves"""
HELPS = {
    "goods": "One line each: mall, channel, goods.",
    "discount.expr": "cut: how much less, 20. full cut: from which price how much less, 100,20. "
    "rate: which part is paid, 0.8. fixed: the price.",
    "discount.audience": "Others pay the full price; empty: the discount is everybody's.",
    "audience": "Those who may take part; empty: everybody.",
}
"""of fields that have a form of their own here"""


@dataclass(frozen=True, slots=True)
class FormField:
    """A field as a template shows it. Its value is text; several values are lines."""

    name: str
    kind: str
    """text, number, seconds, moment, flag, choice, choices or lines"""
    help: str
    required: bool
    choices: tuple[str, ...]
    value: str
    error: str
    code: str
    """of the error"""

    @property
    def label(self) -> str:
        return LABELS.get(self.name, self.name)


def form_fields(
    model: type[BaseModel],
    values: Mapping[str, str],
    errors: Sequence[FieldProblem] = (),
    *,
    leave_out: Sequence[str] = (),
) -> list[FormField]:
    """Returns the fields of a model with the given texts; a field of a model within has its name after a dot."""
    fields = []
    for name, field in _leaves(model, leave_out):
        inner, optional = _plain(field.annotation)
        kind, choices = _kind(name, inner)
        wrong = [each for each in errors if each.field == name or each.field.startswith(f"{name}.")]
        fields.append(
            FormField(
                name=name,
                kind=kind,
                help=HELPS.get(name) or (field.description or "").replace("null:", "empty:"),
                required=field.is_required() and not optional,
                choices=choices,
                value=values.get(name, ""),
                error="; ".join(each.message for each in wrong),
                code=wrong[0].code if wrong else "",
            )
        )
    return fields


def to_texts(model: BaseModel, *, leave_out: Sequence[str] = ()) -> dict[str, str]:
    """Returns a model's values as the texts of its form."""
    texts: dict[str, str] = {}
    for name, field in _leaves(type(model), leave_out):
        value: Any = model
        for part in name.split("."):
            value = None if value is None else getattr(value, part)
        texts[name] = _text(value, _plain(field.annotation)[0])
    return texts


def default_texts(model: type[BaseModel], *, leave_out: Sequence[str] = ()) -> dict[str, str]:
    """Returns the defaults of a model as the texts of its form."""
    leaves = ((name, field) for name, field in _leaves(model, leave_out) if not field.is_required())
    return {name: _text(field.get_default(call_default_factory=True), _plain(field.annotation)[0]) for name, field in leaves}


def from_texts(model: type[BaseModel], texts: Mapping[str, str], *, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Returns what a form sent as values for the model: an empty text is no value, or an empty list."""
    values: dict[str, Any] = {}
    for name, field in _leaves(model, leave_out):
        inner, _ = _plain(field.annotation)
        kind, _ = _kind(name, inner)
        text = texts.get(name, "")
        value: Any
        match kind:
            case "flag":
                value = text == "true"
            case "choices":
                value = text.split()
            case "lines":
                value = _lines(text, inner)
            case _ if text == "":
                # A missing value is the model's to refuse, or to replace.
                value = None if _plain(field.annotation)[1] else ...
            case "number" | "seconds":
                value = int(text) if text.lstrip("-").isdecimal() and text.isascii() else text
            case "moment":
                value = f"{text}:00Z" if text.count(":") == 1 else f"{text}Z"
            case _:
                value = text
        if value is not ...:
            target = values
            *outer, last = name.split(".")
            for part in outer:
                target = target.setdefault(part, {})
            target[last] = value
    return values


def _leaves(model: type[BaseModel], leave_out: Sequence[str], prefix: str = "") -> list[tuple[str, FieldInfo]]:
    found: list[tuple[str, FieldInfo]] = []
    for name, field in model.model_fields.items():
        inner, _ = _plain(field.annotation)
        if name in leave_out:
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _leaves(inner, (), f"{prefix}{name}.")
        else:
            found.append((prefix + name, field))
    return found


def _plain(annotation: Any) -> tuple[Any, bool]:  # noqa: ANN401 - any annotation
    """Returns the type without its metadata, and whether None is one of its values."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [each for each in get_args(annotation) if each is not NoneType]
        return _plain(members[0])[0], NoneType in get_args(annotation)
    return annotation, False


def _kind(name: str, inner: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - any annotation
    if get_origin(inner) in (list, tuple):
        item, _ = _plain(get_args(inner)[0])
        if isinstance(item, type) and issubclass(item, StrEnum):
            return "choices", tuple(item)
        return "lines", ()
    if get_origin(inner) is Literal:
        return "choice", get_args(inner)
    if inner is AwareDatetime:
        return "moment", ()
    if isinstance(inner, type):
        if issubclass(inner, StrEnum):
            return "choice", tuple(inner)
        if issubclass(inner, bool):
            return "flag", ()
        if issubclass(inner, int):
            return "seconds" if name.endswith(SECONDS) else "number", ()
        if issubclass(inner, datetime):
            return "moment", ()
    return "text", ()


SECONDS = ("_ttl", "_grace", "_window")
"""how fields end that are durations"""


def _lines(text: str, inner: Any) -> list[Any]:  # noqa: ANN401 - any annotation
    """A line is an item; the fields of a model are words of it."""
    item, _ = _plain(get_args(inner)[0])
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if isinstance(item, type) and issubclass(item, BaseModel):
        return [dict(zip(item.model_fields, line.split(), strict=False)) for line in lines]
    return lines


def _text(value: Any, inner: Any) -> str:  # noqa: ANN401 - any value of any annotation
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%S}"
        case list() | tuple():
            return "\n".join(_text(each, inner) for each in value)
        case BaseModel():
            return " ".join(str(each) for each in value.model_dump().values())
        case _:
            return str(value)
