"""The metrics of this process, on the API's port or on one of their own."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from api.dependencies import ContainerDep
from api.http.routing import api_router
from db.core.connection import Database

router = api_router(include_in_schema=False)

CONNECTIONS = Gauge("groupbuy_database_connections", "Connections to PostgreSQL", ["pool"])
CONNECTIONS_MAX = Gauge("groupbuy_database_connections_max", "Connections to PostgreSQL at most", ["pool"])
WAITING = Gauge("groupbuy_database_waiting", "Callers that wait for a connection to PostgreSQL", ["pool"])


@router.get("/metrics")
async def metrics(container: ContainerDep) -> Response:
    await container.metrics.refresh()
    for pool, database in (("api", container.database), ("trades", container.trades)):
        _measure(pool, database)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _measure(pool: str, database: Database) -> None:
    CONNECTIONS.labels(pool).set(database.in_use)
    CONNECTIONS_MAX.labels(pool).set(database.size)
    WAITING.labels(pool).set(database.waiting)
