"""Addresses of workflows in the Temporal UI."""

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import HttpUrl

from domain.schemas.audiences import AudienceImport
from domain.schemas.orders import Order
from domain.schemas.refunds import Refund
from domain.schemas.teams import Team
from domain.schemas.workflows import WorkflowLink
from domain.types import Schema

NESTED = {Order, Refund, Team, AudienceImport}
"""parts of other answers that name a workflow of their own"""

AnswerT = TypeVar("AnswerT", bound=Schema)


class WorkflowLinks:
    """Completes answers: the database knows a workflow by its id, people open it by its URL."""

    def __init__(self, ui_url: HttpUrl | None, namespace: str) -> None:
        self._base_url = f"{str(ui_url).rstrip('/')}/namespaces/{namespace}/workflows/" if ui_url else None

    def fill(self, answer: AnswerT) -> AnswerT:
        """Returns the answer with the URL of each workflow that it names; unchanged where no UI is configured."""
        if self._base_url is None:
            return answer
        filled: dict[str, Any] = {}
        for name, value in answer:
            # By exact type, because isinstance with a pydantic class takes a microsecond per field.
            if type(value) is WorkflowLink:
                filled[name] = WorkflowLink(id=value.id, url=self._base_url + value.id)
            elif type(value) in NESTED:
                filled[name] = self.fill(value)
        return answer.model_copy(update=filled) if filled else answer

    def fill_all(self, answers: Iterable[AnswerT]) -> list[AnswerT]:
        return [self.fill(answer) for answer in answers]
