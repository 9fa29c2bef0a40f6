"""Where Temporal is looked for."""

from pathlib import Path

import pytest
from temporalio.client import Client

from workflows.client import connect


@pytest.mark.parametrize(("said", "host"), [({}, "localhost:7233"), ({"TEMPORAL_ADDRESS": "there:1"}, "there:1")])
async def test_the_environment_says_where_temporal_is_or_it_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: dict[str, str], host: str
) -> None:
    looked_at: list[object] = []

    async def look(target_host: str, **_options: object) -> None:
        looked_at.append(target_host)

    nothing = tmp_path / "temporal.toml"
    nothing.touch()
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(nothing))
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Client, "connect", look)
    await connect()
    assert looked_at == [host]
