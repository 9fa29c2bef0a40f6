"""What operators send: one JSON object each. A handler parses it itself, since the SDK drops a signal that it cannot decode."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class OperatorSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=500)] = ""


class ExtendSignal(OperatorSignal):
    minutes: Annotated[int, Field(strict=True, ge=1, le=525_600)]


class RefundSignal(OperatorSignal):
    out_trade_no: Annotated[str, Field(min_length=1, max_length=64)]


class ResendSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Annotated[str, Field(max_length=128)] = ""


class ResendCallbacksSignal(ResendSignal):
    """To a team: deliver its dead callbacks again."""


class CloseManuallySignal(ResendSignal):
    note: Annotated[str, Field(max_length=500)] = ""


class DecideSignal(CloseManuallySignal):
    approve: Annotated[bool, Field(strict=True)]
