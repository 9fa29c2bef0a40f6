"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# --- what operators send: one JSON object each. A handler takes any JSON and judges it with these, since a signal that the
# --- SDK cannot decode is dropped without a trace.


class OperatorSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=500)] = ""


class ExtendSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: Annotated[int, Field(strict=True, ge=1, le=525_600)]
    operator: Annotated[str, Field(max_length=128)] = ""


class RefundSignal(OperatorSignal):
    out_trade_no: Annotated[str, Field(min_length=1, max_length=64)]


class ResendSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Annotated[str, Field(max_length=128)] = ""


class ResendCallbacksSignal(ResendSignal):
    """Of a team: what was given up."""


class CloseManuallySignal(ResendSignal):
    note: Annotated[str, Field(max_length=500)] = ""


class DecideSignal(CloseManuallySignal):
    approve: Annotated[bool, Field(strict=True)]
