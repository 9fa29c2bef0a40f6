"""Log lines of the API and the worker: as text, or each as a line of JSON with the ids of what it is about."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from temporalio import activity, workflow
from temporalio.runtime import LogForwardingConfig, LoggingConfig, TelemetryFilter

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
SUBJECT = re.compile(r"(?P<kind>team|refund|payment)-(?P<id>[a-z2-7]+)(-[0-9]+)?")
"""workflow ids that name a team or an order (domain/ids.py)"""
KINDS = {"team": "team_id", "refund": "order_id", "payment": "order_id"}

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""of the HTTP request that is being answered"""


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(record),
            **trace_ids(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 - as in logging
        # PostgreSQL's details quote the values of rows, among them who a buyer is.
        lines = super().formatException(ei).splitlines()
        return "\n".join(line for line in lines if not line.startswith("DETAIL:"))


def _ids(record: logging.LogRecord) -> dict[str, Any]:
    """Returns the ids of the request, or of the workflow, in which a line was written."""
    if request := request_id.get():
        return {"request_id": request}
    # The SDK's loggers bring along what they are about; our own are asked where they are.
    about: dict[str, Any] = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None) or {}
    if not about and activity.in_activity():
        info = activity.info()
        about = {"workflow_id": info.workflow_id, "activity_type": info.activity_type, "attempt": info.attempt}
    elif not about and workflow.in_workflow():
        about = {"workflow_id": workflow.info().workflow_id}
    ids: dict[str, Any] = {name: about[name] for name in ("workflow_id", "activity_type", "attempt") if name in about}
    if subject := SUBJECT.fullmatch(str(ids.get("workflow_id", ""))):
        ids[KINDS[subject["kind"]]] = subject["id"]
    return ids


def trace_ids() -> dict[str, str]:
    """Returns the id of the trace that a line is written in, where there is one."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.is_valid else {}


def configure_logs(level: str, *, as_json: bool) -> None:
    """Has everything logged to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler])


def sdk_logging(*, as_json: bool) -> LoggingConfig:
    """Returns how the core of Temporal's SDK logs: by itself to the console or, as JSON, through our handler."""
    if not as_json:
        return LoggingConfig.default
    forwarding = LogForwardingConfig(logging.getLogger("temporal.core"))
    return LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
