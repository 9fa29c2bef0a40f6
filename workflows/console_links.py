"""Links from a workflow's history to its page in the operators' console, as details that it is started with."""

import re
from typing import Any

from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)

# The ids of domain/ids.py.
PAGES = (
    (re.compile(r"team-(.+)"), "teams"),
    (re.compile(r"refund-(.+)-\d+"), "orders"),
    (re.compile(r"payment-(.+)"), "orders"),
    (re.compile(r"campaign-shutdown-(\d+)"), "campaigns"),
    (re.compile(r"callbacks-.+-(\d+)"), "callbacks/resend"),
    (re.compile(r"audience-(.+)-\d+"), "audiences"),
    (re.compile(r"export-(.+)"), "exports"),
)


def console_path(workflow_id: str) -> str | None:
    """Returns the console's page of what a workflow is about; None: it has none."""
    for pattern, page in PAGES:
        if found := pattern.fullmatch(workflow_id):
            return f"{page}/{found[1]}"
    return None


class ConsoleLinks(Interceptor):
    """Gives every workflow that this client starts the link to its page."""

    def __init__(self, console_url: str) -> None:
        self._base = console_url.rstrip("/")

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _Starts(next, self._base)


class _Starts(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, base: str) -> None:
        super().__init__(following)
        self._base = base

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002 - the SDK's name
        input.static_details = self._details(input.id)
        return await super().start_workflow(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002 - the SDK's name
    ) -> WorkflowUpdateHandle[Any]:
        input.start_workflow_input.static_details = self._details(input.start_workflow_input.id)
        return await super().start_update_with_start_workflow(input)

    def _details(self, workflow_id: str) -> str | None:
        path = console_path(workflow_id)
        return None if path is None else f"[Its page in the console]({self._base}/{path})"
