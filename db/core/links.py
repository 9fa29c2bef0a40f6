"""Links to workflow histories."""

from dataclasses import dataclass

from domain.schemas.workflows import WorkflowLink


@dataclass(frozen=True, slots=True)
class History:
    """Where people look at workflows: the base of their addresses in the Temporal UI, empty where none is configured."""

    base_url: str = ""

    def link(self, workflow_id: str) -> WorkflowLink:
        return WorkflowLink(id=workflow_id, url=f"{self.base_url}{workflow_id}" if self.base_url else None)
