"""Heads of a familiar form, which needn't be parsed again.

From one check of a proxy to the next only a few values change: target, key, client address, request id and,
where there is one, trace context. Cut out of a head, they leave the same bytes each time, its skeleton. Where
llhttp and the dialect have read that skeleton before, only these values are new, and reading them costs a
third of parsing the head.

That is exact. A skeleton is learnt only where reading it again by these rules gives what the dialect read;
then values are taken only if they are made of characters that mean nothing to HTTP or to a dialect. Whatever
looks unusual is parsed. A skeleton holds no credential.

What comes again and again is read by a pattern made of its skeleton, which takes half as long as cutting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakSet

from extauth.bounded import BoundedCache
from extauth.dialects.base import Dialect, Variable
from extauth.model import CheckRequest

# How the lines begin in which a value stands, in lower case.
_CREDENTIAL_LINES = (b"\nauthorization: bearer ", b"\nx-api-key: ")
_ADDRESS_LINE = b"\nx-extauth-client-ip: "
_ID_LINE = b"\nx-request-id: "
_TRACE_LINE = b"\ntraceparent: "
# Lines that hold secrets. One that is not cut out would be kept, so such a head is parsed each time.
_SECRET_LINES = (b"\nauthorization:", b"\nx-api-key:", b"\nproxy-authorization:", b"\ncookie:")
_HEAD_END = b"\r\n\r\n"
# What key, address, id and trace context may hold beside letters and digits.
_HARMLESS = b"-_.:"
# A proxy orders and spells its lines in one way: with a key in either header, and without.
_MOST_FORMS = 32
_MOST_SKELETONS = 4_096
# One head in so many is learnt: where each is different from all others that must not cost much.
LEARN_EVERY = 8
# A head that was cut so often gets a pattern: making one costs as much as hundreds of cuts, and clients that
# send many different heads must not cause that.
PATTERN_AFTER = 256
# What values are made of in a pattern: the target's is looked at again by the dialect.
_CLASSES = (rb"([!-~]+)", *[rb"([A-Za-z0-9_.:-]+)"] * 4)


class Question(NamedTuple):
    """A check that was read, and whom to answer; `method` is that of the HTTP request that asked it."""

    dialect: Dialect
    request: CheckRequest
    method: bytes


# A question as a plain tuple: once a check, and a named one takes four times as long to make.
PlainQuestion = tuple[Dialect, CheckRequest, bytes]

# What stands before a value, what ends it, and which value it is: a position in `Variable`.
_Place = tuple[bytes, bytes, int]
_TARGET, _CREDENTIAL, _ADDRESS, _ID, _TRACE = range(5)


@dataclass(slots=True)
class _Known:
    """What was read from a skeleton, and how often it was cut since."""

    question: Question
    cuts: int = 0


_Skeletons = BoundedCache[tuple[object, ...], _Known]


class Form:
    """One order and spelling of the places where the values stand."""

    def __init__(self, places: tuple[_Place, ...], skeletons: _Skeletons, pattern_after: int) -> None:
        self._places = places
        self._skeletons = skeletons
        self._pattern_after = pattern_after
        kinds = [which for _, _, which in places]
        missing = [which for which in (_TARGET, _CREDENTIAL, _ADDRESS, _ID, _TRACE) if which not in kinds]
        # The groups of a pattern in the order of `Variable`; those of missing values are empty.
        self._groups = tuple(1 + (kinds + missing).index(which) for which in range(len(kinds + missing)))
        # Has the values of the skeleton that got one last, and matches nothing else.
        self._pattern: tuple[re.Pattern[bytes], Question] | None = None

    def forget(self) -> None:
        """Forget what was read."""
        self._pattern = None

    def recall(self, read: bytes) -> PlainQuestion | None:
        """Return the check that a read holds, where that is exactly one head, and a familiar one."""
        values: Variable
        last = self._pattern
        if last is not None and (match := last[0].fullmatch(read)) is not None:
            known, values = last[1], match.group(*self._groups)
        elif (found := self._find(read)) is not None:
            known, values = found
        else:
            return None
        dialect, like, method = known
        request = dialect.read_again(like, values)
        return None if request is None else (dialect, request, method)

    def _find(self, read: bytes) -> tuple[Question, Variable] | None:
        cut = self._cut(read)
        if cut is None:
            return None
        skeleton, values = cut
        known = self._skeletons.get(skeleton) or self._skeletons.revive(skeleton)
        if known is None:
            return None
        known.cuts += 1
        if known.cuts % self._pattern_after == 0:
            self._pattern = (self._pattern_of(skeleton), known.question)
        return known.question, values

    def _pattern_of(self, skeleton: tuple[object, ...]) -> re.Pattern[bytes]:
        pattern, parts = b"", [part for part in skeleton if isinstance(part, bytes)]
        for (before, after, which), part in zip(self._places, parts, strict=False):
            pattern += re.escape(part + before) + _CLASSES[which] + re.escape(after)
        missing = len(self._groups) - len(self._places)
        return re.compile(pattern + re.escape(parts[-1]) + b"()" * missing)

    def learn(self, read: bytes, question: Question) -> bool:
        """Remember what was read from a head; tell whether it can be."""
        cut = self._cut(read)
        if cut is None:
            return False
        skeleton, values = cut
        dialect, request, _ = question
        credential = values[_CREDENTIAL]
        like = request._replace(
            credential=None,
            request_id="",
            client_ip="" if values[_ADDRESS] else request.client_ip,
            trace=b"",
        )
        # The same key may stand in the query too.
        if dialect.read_again(like, values) != request or (credential and credential in values[_TARGET]):
            return False
        self._skeletons.keep(skeleton, _Known(question._replace(request=like)))
        return True

    def _cut(self, read: bytes) -> tuple[tuple[object, ...], Variable] | None:
        """Return the skeleton of a head and the values cut out of it; None where they look unusual."""
        skeleton: list[object] = [self]
        values = [b"", b"", b"", b"", b""]
        rest = read
        for before, after, which in self._places:
            part, _, rest = rest.partition(before)
            value, _, rest = rest.partition(after)
            if not value:
                return None
            skeleton.append(part)
            values[which] = value
        skeleton.append(rest)
        if not b"".join(values[_CREDENTIAL:]).translate(None, _HARMLESS).isalnum():
            return None
        return tuple(skeleton), values


class FamiliarHeads:
    """What is known of the heads that the proxies of this service send."""

    def __init__(self, *, learn_every: int = LEARN_EVERY, pattern_after: int = PATTERN_AFTER) -> None:
        self._learn_every = learn_every
        self._pattern_after = pattern_after
        self._skeletons: _Skeletons = BoundedCache(_MOST_SKELETONS)
        self._forms: BoundedCache[tuple[_Place, ...], Form] = BoundedCache(_MOST_FORMS)
        # Connections may hold on to forms for which there is no room any more.
        self._in_use: WeakSet[Form] = WeakSet()
        self._parsed = 0

    def forget(self) -> None:
        """Forget what was read, though not the forms: connections hold on to theirs."""
        self._skeletons.forget_all()
        for form in self._in_use:
            form.forget()

    def learn(self, read: bytes, question: Question) -> Form | None:
        """Remember now and then a head that was read whole; return its form."""
        self._parsed += 1
        if self._parsed % self._learn_every or read.find(_HEAD_END) != len(read) - len(_HEAD_END):
            return None
        places = _places_in(read, question.dialect)
        if places is None:
            return None
        form = self._forms.get(places) or self._forms.revive(places)
        if form is None:
            form = Form(places, self._skeletons, self._pattern_after)
            self._forms.keep(places, form)
            self._in_use.add(form)
        return form if form.learn(read, question) else None


def _places_in(read: bytes, dialect: Dialect) -> tuple[_Place, ...] | None:
    """Return where the values stand in a head; None where a secret stands elsewhere, or that is unclear."""
    lowered = read.lower()
    found = []
    lines = [(_ADDRESS_LINE, _ADDRESS), (_ID_LINE, _ID), (_TRACE_LINE, _TRACE)]
    lines += [(line, _CREDENTIAL) for line in _CREDENTIAL_LINES]
    for line, which in lines:
        at = lowered.find(line)
        # Some proxies send an empty line where there is no trace: that is the same each time.
        if at >= 0 and not (which == _TRACE and lowered.startswith(line + b"\r", at)):
            found.append((at, read[at : at + len(line)], b"\r", which))
    before, after = dialect.target_place
    at = lowered.find(before)
    found.append((at, read[at : at + len(before)], after, _TARGET))
    kinds = [which for _, _, _, which in found]
    secrets = sum(map(lowered.count, _SECRET_LINES))
    # Clients choose how the scheme is spelt; with a form for each spelling they could use up all of them.
    spelt = all(not line.endswith(b"earer ") or line.endswith(b"Bearer ") for _, line, _, _ in found)
    if at < 0 or _ID not in kinds or secrets != kinds.count(_CREDENTIAL) or secrets > 1 or not spelt:
        return None
    return tuple((line, end, which) for _, line, end, which in sorted(found))
