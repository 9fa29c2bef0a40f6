"""The API's answers, as far as the demo and the check read them."""

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, JsonValue


class Workflow(BaseModel):
    id: str
    url: str | None


class Quote(BaseModel):
    campaign_id: int
    goods_name: str
    original_price: Decimal
    deduction: Decimal
    pay_price: Decimal
    target_count: int
    joinable: bool
    reasons: list[str]


class Order(BaseModel):
    order_id: str
    out_trade_no: str
    user_id: str
    team_id: str
    goods_id: str
    status: str
    pay_price: Decimal
    lock_expires_at: datetime
    cancel_reason: str | None


class Orders(BaseModel):
    data: list[Order]


class Team(BaseModel):
    status: str
    target_count: int
    lock_count: int
    complete_count: int
    deadline: datetime
    workflow: Workflow | None

    @property
    def seats(self) -> str:
        """One sign for each seat: ● paid, ◐ locked, ○ free, – no longer sold."""
        unpaid, empty = self.lock_count - self.complete_count, self.target_count - self.lock_count
        return "●" * self.complete_count + "◐" * unpaid + ("○" if self.status == "forming" else "–") * empty


class Payment(BaseModel):
    outcome: str
    reason: str | None = None
    team: Team


class Refund(BaseModel):
    kind: str
    status: str
    reason: str
    amount: Decimal
    workflow: Workflow

    @property
    def line(self) -> str:
        return f"refund {self.kind}, {self.status}, {self.amount}"


class RefundForOperators(BaseModel):
    status: str
    answer: str | None
    note: str | None


class RefundsForOperators(BaseModel):
    data: list[RefundForOperators]


class Goods(BaseModel):
    goods_id: str


class Campaign(BaseModel):
    campaign_id: int
    status: str


class Invariants(BaseModel):
    violations: list[JsonValue]


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    code: str
    detail: str = ""
    errors: list[FieldProblem] = []

    @property
    def line(self) -> str:
        fields = "; ".join(f"{error.field}: {error.message}" for error in self.errors)
        return " ".join(part for part in (f"{self.code}: {self.detail}", fields and f"({fields})") if part)


class Callback(BaseModel):
    """A callback that a mall has received."""

    event_id: str
    type: str
    sequence: int
    data: dict[str, JsonValue]
    times_received: int


class Callbacks(BaseModel):
    data: list[Callback]
