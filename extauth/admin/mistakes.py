"""The one problem that tells all that is wrong with a request, whoever found it.

What reading it found goes to the key service under the names that places have here, and comes back with what
the service found itself, under its own names for fields. A mark tells them apart: `/` begins a JSON pointer
into the body (RFC 6901), `?` a parameter of the query.
"""

from __future__ import annotations

from collections.abc import Iterable

from extauth.admin.endpoint import Endpoint
from extauth.admin.fitting import Fitting, Place
from extauth.admin.models import Asked
from extauth.admin.problems import AdminCode, Problem
from extauth.keys.asked import Misread, Mistake
from extauth.keys.rules import in_order

# What the key service calls otherwise than the API does.
_SERVICE_NAMES = {"expires_in": "lifetime"}
_FIELDS = {name: field for field, name in _SERVICE_NAMES.items()}
# What the key service says of neither body nor query.
_UNMARKED = ("", "Idempotency-Key")


def misread_query(query: Fitting[Asked]) -> Misread:
    """Return what could not be read of the query."""
    mistakes = ((f"?{place[0]}" if place else "", detail) for place, detail in query.mistakes)
    return Misread(tuple(mistakes), query.unread)


def misread_change(query: Fitting[Asked], body: Fitting[Asked]) -> Misread:
    """Return what could not be read of a change: it has a body, and no query."""
    mistakes = ((_pointer(place), detail) for place, detail in body.mistakes)
    fields = frozenset(_SERVICE_NAMES.get(field, field) for field in body.unread)
    return Misread((*misread_query(query).mistakes, *mistakes), fields)


def refusal(mistakes: Iterable[Mistake], endpoint: Endpoint) -> Problem:
    """Return the problem that tells the mistakes, in the order of the endpoint's fields."""
    mark = "/" if endpoint.changes else "?"
    fields = [f"{mark}{field}" for field in endpoint.asked.model_fields]
    told = in_order(((_marked(name, mark), detail) for name, detail in mistakes), fields)
    of_query = mark == "?" or any(name.startswith("?") for name, _ in told)
    return Problem(
        code=AdminCode.INVALID_QUERY if of_query else AdminCode.INVALID_INPUT,
        mistakes=tuple((name.removeprefix("?"), detail) for name, detail in told),
    )


def _marked(name: str, mark: str) -> str:
    if name in _UNMARKED or name.startswith(("/", "?")):
        return name
    return f"{mark}{_FIELDS.get(name, name)}"


def _pointer(place: Place) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in place)
