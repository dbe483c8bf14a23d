"""structlog for everything but decisions: JSON lines into the same writer, secrets masked on the way."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

from extauth.keys.token import mask_keys
from extauth.telemetry.lines import LineWriter

MASK = "********"
_SECRET_NAME = re.compile(r"secret|pepper|password|token|authorization|api_?key|hashed", re.IGNORECASE)


def configure_logging(lines: LineWriter, *, level: str, fields: Mapping[str, Any] | None = None) -> None:
    """Send all structlog and standard library log records to the writer. Called once, by the server.

    `fields` stand in each line: they say which process of several it is from.
    """
    own = dict(fields or {})

    def add_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**event, **own}

    shared: list[structlog.typing.Processor] = [
        add_fields,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, _render],
        logger_factory=lambda *_: _Sink(lines),
        cache_logger_on_first_use=False,
    )
    handler = _StandardHandler(lines, shared)
    logging.getLogger().handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Log from this level on, also by loggers that somebody holds already."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(threshold))
    logging.getLogger().setLevel(threshold)
    # uvicorn's own lines about starting and stopping say nothing that ours don't.
    logging.getLogger("uvicorn").setLevel(max(threshold, logging.WARNING))


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values under telling names, however deep. What is key-shaped anywhere is masked by `_render`."""
    for name, value in event.items():
        event[name] = _without_secrets(name, value)
    return event


def _without_secrets(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(inner): _without_secrets(str(inner), part) for inner, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(name, part) for part in value]
    return value


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    ordered = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    event = {**ordered, **event}
    try:
        line = orjson.dumps(event, default=_readable, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Numbers of more than 64 bits, lone surrogates: the slow writer knows them all.
        line = json.dumps(event, default=_readable)
    # On the finished line, so that nothing gets past: no key text changes by being written as JSON.
    return mask_keys(line).encode() + b"\n"


def _readable(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Sink:
    """What structlog's bound loggers call: every level ends in the same writer."""

    def __init__(self, lines: LineWriter) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = self.exception = (
            lines.write
        )


class _StandardHandler(logging.Handler):
    """Lets libraries that use the standard logging module speak through the same processors."""

    def __init__(self, lines: LineWriter, processors: list[structlog.typing.Processor]) -> None:
        super().__init__()
        self._lines = lines
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        event: Any = {"event": record.getMessage(), "logger": record.name}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        try:
            for processor in self._processors:
                event = processor(None, record.levelname.lower(), event)
            self._lines.write(_render(None, "", event))
        except Exception as error:  # noqa: BLE001 - a line that can't be written must not end what it speaks about
            print(f"log line lost: {error!r}", file=sys.stderr)  # noqa: T201 - there is no logger left to tell
