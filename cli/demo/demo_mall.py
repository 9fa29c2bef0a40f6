"""The demo mall of a stack, as the demo reads it."""

from dataclasses import dataclass

from cli.demo.client import Client
from cli.demo.schemas import Callback, Callbacks


@dataclass(frozen=True)
class DemoMall:
    client: Client

    @property
    def url(self) -> str:
        return self.client.base_url

    async def callbacks(self, team_id: str) -> list[Callback]:
        """Returns those of a team, oldest first: the mall lists only callbacks whose signature it has verified."""
        listed = await self.client.call(Callbacks, "GET", f"/callbacks?team_id={team_id}")
        return list(reversed(listed.body.data))
