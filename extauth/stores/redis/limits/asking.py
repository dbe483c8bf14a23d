"""Takes as the arguments of `take.lua`, and how to read its reply: worked out once for a plan."""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from extauth.limits.algorithm import BucketState, Tell
from extauth.limits.cool_down import COOL_DOWN
from extauth.limits.plan import Take
from extauth.model import Limit
from extauth.stores.limits import Known
from extauth.stores.redis import layout
from extauth.stores.redis.limits.wire import bulk
from extauth.throttle import slots

_TERMS = struct.Struct(">BBB")
_NUMBER = struct.Struct(">H")
_SLOTS = struct.Struct(">IQIQ")
_LIMIT = struct.Struct(">BQQQQQ")
_SHADOW = 128
FIRST_ANSWER = 8
_LONGEST_NAME = 255
_MAY_NOT_WAIT = 128
_WORDS_OF_A_CLAIM = 3
_CHANGED = 2


class Place(NamedTuple):
    """Where an answer says whether a limit has room, and where its state begins."""

    room: int
    state: int


Tells = tuple[tuple[Tell, Limit, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What the questions of all callers of a tier have in common: the same object for all of them.

    With many callers that is less memory to go through for each check, and so less to wait for.

    `terms` say what is taken, and `version` which the record is believed to have. `tells` is what it takes to
    tell how each of the enforced stands: the algorithm's function, the limit, the cost, and where its state
    begins. `places` are those of all takes in the `answer`, in the order given.
    """

    terms: bytes
    number_of_keys: int
    version: bytes
    answer: struct.Struct
    tells: Tells
    places: tuple[Place, ...]
    has_slots: bool
    has_shadows: bool


class Question(NamedTuple):
    """What is asked about takes in one slot, and how to read the answer.

    What each check needs stands first. `claim` says who wants `slots`, of which `lease` holds some if they
    were taken.
    """

    keys: bytes
    form: Form
    claim: bytes
    lease: str
    takes: tuple[Take, ...]
    slots: tuple[slots.Place, ...]

    @property
    def placed(self) -> tuple[tuple[Take, Place], ...]:
        """All takes, each with its place in the answer."""
        return tuple(zip(self.takes, self.form.places, strict=True))

    @property
    def enforced(self) -> tuple[tuple[Take, Place], ...]:
        """Those that may refuse, but for the cool-down."""
        return tuple(pair for pair in self.placed if not (pair[0].limit.shadow or _cools(pair[0])))

    @property
    def shadows(self) -> tuple[tuple[Take, Place], ...]:
        """Those that never refuse."""
        return tuple(pair for pair in self.placed if pair[0].limit.shadow)

    @property
    def cool_down(self) -> tuple[Take, Place] | None:
        """The cool-down that stands beside them."""
        return next((pair for pair in self.placed if _cools(pair[0])), None)


def _cools(take: Take) -> bool:
    return take.limit.algorithm == COOL_DOWN.name


class Mode(enum.IntEnum):
    """What is to be done about takes."""

    TAKE = 0
    LOOK = 1
    GIVE_BACK = 2
    RESET = 3
    VIOLATE = 4


def question(
    takes: Sequence[Take],
    record: Known | None = None,
    *,
    mode: Mode = Mode.TAKE,
    places: tuple[slots.Place, ...] = (),
    may_wait: bool = True,
) -> Question:
    """Put takes and places of one slot in words; see `named`. With a record, its version is compared."""
    ordered = sorted(takes, key=lambda take: take.subject)
    groups = [(subject, tuple(group)) for subject, group in groupby(ordered, lambda take: take.subject)]
    spec = _TERMS.pack(mode, len(groups), len(places) + (0 if may_wait else _MAY_NOT_WAIT))
    spec += _in_numbers([group for _, group in groups], places)
    keys = [] if record is None else [layout.record(record.key_id)]
    keys += [layout.limits_of(subject) for subject, _ in groups] + slot_bases(places)
    answers = tuple(Place(1 + at, 1 + len(takes) + 4 * at) for at in map(ordered.index, takes))
    form = _form(
        spec,
        len(keys),
        0 if record is None else record.version,
        tuple((take.tell, take.limit, take.cost) for take in takes),
        answers,
        has_slots=bool(places),
    )
    return Question(
        keys=b"".join(bulk(key.encode()) for key in keys),
        form=form,
        claim=b"",
        lease="",
        takes=tuple(takes),
        slots=places,
    )


@lru_cache(maxsize=1_024)
def _form(
    spec: bytes,
    number_of_keys: int,
    version: int,
    told: tuple[tuple[Tell, Limit, int], ...],
    places: tuple[Place, ...],
    *,
    has_slots: bool,
) -> Form:
    limits = [limit for _, limit, _ in told]
    verdict = "2B2I" if has_slots else ""
    return Form(
        terms=bulk(spec),
        number_of_keys=number_of_keys,
        version=_short(b"%d" % version if version else b""),
        answer=struct.Struct(f">{1 + len(told)}B{4 * len(told)}Q{verdict}"),
        tells=tuple(
            (*one, place.state)
            for one, place in zip(told, places, strict=True)
            if not (one[1].shadow or one[1].algorithm == COOL_DOWN.name)
        ),
        places=places,
        has_slots=has_slots,
        has_shadows=any(limit.shadow for limit in limits),
    )


def slot_bases(places: Iterable[slots.Place]) -> list[str]:
    """Return how the keys begin that hold the slots of these limits."""
    return [layout.slots_of(place.subject, place.field) for place in places]


def _in_numbers(groups: Sequence[Sequence[Take]], places: Sequence[slots.Place]) -> bytes:
    """Return the limits of each subject, then those on requests in flight, as terms have them."""
    spec = b""
    for group in groups:
        names = _names([_name(take.field) for take in group])
        spec += len(names).to_bytes(2, "big") + names
        for take in group:
            kind = take.algorithm.number + (_SHADOW if take.limit.shadow else 0)
            spec += _LIMIT.pack(kind, *take.numbers)
    for _, limit, *_ in places:
        spec += _SLOTS.pack(limit.most, limit.lease_us, limit.queue, limit.wait_us)
    return spec


def named(asked: Question, name: str, client: str, lease: str, request_id: str) -> Question:
    """Say who wants the slots that are asked for; with a `request_id` the lease is filed under it."""
    keys, form, filed = asked.keys, asked.form, ""
    if request_id:
        keys += bulk(layout.leases_of(request_id).encode())
        form = _filed(form)
        filed = lease
    claim = b"".join((bulk(name.encode()), bulk(client.encode()), bulk(filed.encode())))
    # Once a check: `_replace` takes several times as long.
    return tuple.__new__(Question, (keys, form, claim, lease, asked.takes, asked.slots))


@lru_cache(maxsize=1_024)
def _filed(form: Form) -> Form:
    """Return the form of a question with one more key, under which its lease is filed."""
    return replace(form, number_of_keys=form.number_of_keys + 1)


class Words(NamedTuple):
    """Keys and arguments of a call, ready for the wire. See `line.Words`."""

    keys: bytes
    number_of_keys: int
    arguments: bytes
    number_of_arguments: int


def gathered(questions: Iterable[Question]) -> Words:
    """Put what many ask in one slot in one call: the terms that they share are said once."""
    keys, checks, claims = [], [], []
    terms: dict[bytes, bytes] = {}
    number_of_keys = own_number = 0
    last, check = None, b""
    for asked in questions:
        # By place: taking a named tuple apart by names takes several times as long.
        own_keys, form, claim = asked[:3]
        keys.append(own_keys)
        if form is not last:
            last, own_number = form, form.number_of_keys
            which = terms.get(form.terms) or terms.setdefault(form.terms, _NUMBER.pack(len(terms)))
            check = which + form.version
        number_of_keys += own_number
        checks.append(check)
        if claim:
            claims.append(claim)
    told = bulk(b"".join((_NUMBER.pack(len(terms)), *checks)))
    number_of_arguments = 1 + len(terms) + _WORDS_OF_A_CLAIM * len(claims)
    return Words(b"".join(keys), number_of_keys, b"".join((told, *terms, *claims)), number_of_arguments)


def violations(cool_down: Take, count: int) -> Question:
    """Say that a client went on past its refusals so many times."""
    numbers = (*cool_down.numbers[:4], count)
    return question([cool_down._replace(numbers=numbers)], mode=Mode.VIOLATE)


def _names(fields: Sequence[bytes]) -> bytes:
    """Return how the string of a subject begins."""
    return len(fields).to_bytes(2, "big") + b"".join(map(_short, fields))


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _name(field: str) -> bytes:
    """Return what a limit is called in the string: by its name, unless that is as long as paths may be."""
    name = field.encode()
    return name if len(name) <= _LONGEST_NAME else hashlib.blake2b(name, digest_size=24).digest()


def time_of(reply: bytes) -> int:
    """Return the time by Redis's clock, in microseconds. The first answer begins at `FIRST_ANSWER`."""
    return int.from_bytes(reply[:FIRST_ANSWER], "big")


def read_answer(asked: Question, reply: bytes, at: int) -> tuple[tuple[int, ...] | None, int]:
    """Return what the reply says to this question, and where the next answer begins.

    None where the record has another version: nothing was taken. Else 1 where all had room, for each take 1
    where it had, then the states: after the takes if they were taken, else before.
    """
    if reply[at] == _CHANGED:
        return None, at + 1
    answer = asked.form.answer
    return answer.unpack_from(reply, at), at + answer.size


class Verdict(enum.IntEnum):
    """What became of the slots that were asked for."""

    NOTHING = 0
    TAKEN = 1
    WAITS = 2
    NO_ROOM = 3


def expired_in(asked: Question, values: tuple[int, ...]) -> int:
    """Return how many leases had ended by themselves of the limits on requests in flight."""
    return values[-1] if asked.form.has_slots else 0


def blocked_by(asked: Question, values: tuple[int, ...]) -> slots.Blocked | None:
    """Return which limit had no slot, if that is why a check was not allowed."""
    if not asked.slots:
        return None
    verdict, number, again_ms, _ = values[-4:]
    if verdict not in {Verdict.WAITS, Verdict.NO_ROOM}:
        return None
    return slots.Blocked(asked.slots[number], waits=verdict == Verdict.WAITS, again_us=again_ms * 1_000)


def state_at(values: tuple[int, ...], place: Place) -> BucketState | None:
    """Return the state at this place; None for a bucket nobody has used."""
    first, second, third, clear_at_us = values[place.state : place.state + 4]
    return (first, second, third, clear_at_us) if clear_at_us else None


class Standing(NamedTuple):
    """Whether a limit had room, and its state."""

    room: bool
    state: BucketState | None


# By bucket.
Found = dict[str, Standing]


def found_in(asked: Question, values: tuple[int, ...]) -> Found:
    """Return what an answer says of each limit."""
    return {
        take.bucket: Standing(bool(values[place.room]), state_at(values, place))
        for take, place in asked.placed
    }
