"""The admin API's operations on keys: making them, finding them, changing and ending them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from extauth.admin.endpoint import Answer, Call, Services, entity_tag
from extauth.admin.models import (
    KeyChangeBody,
    KeyListQuery,
    NewKeyBody,
    NoParameters,
    Nothing,
    PurgeBody,
    RevocationBody,
    RotationBody,
)
from extauth.admin.problems import AdminCode, Problem
from extauth.clock import from_us
from extauth.errors import ConflictError
from extauth.keys.asked import IssuedKey, KeyChange, NewKey
from extauth.keys.views import plain, public
from extauth.model import ApiKey
from extauth.stores.base import KeyFilter

Result = TypeVar("Result", ApiKey, IssuedKey)


async def create(services: Services, call: Call[NewKeyBody]) -> Answer:
    """Make a key; under an idempotency key only once."""
    new = _new_key(services, call.asked)
    if call.idempotency_key is None:
        return _issued(await services.service.create(new, call.by, misread=call.misread))
    made = await services.creation.create(new, call.by, call.idempotency_key, misread=call.misread)
    if isinstance(made, IssuedKey):
        return _issued(made)
    return _shown(made, {"idempotency-replayed": "true", "location": location(made)})


async def list_keys(services: Services, call: Call[KeyListQuery]) -> Answer:
    """Show a page of keys."""
    asked = call.asked
    now = from_us(services.clock.now_us())
    wanted = KeyFilter(
        user_id=asked.user_id,
        tier=asked.tier,
        active=asked.active,
        expires_before=None if asked.expiring_within is None else now + asked.expiring_within,
        unused_since=asked.unused_since if asked.unused_for is None else now - asked.unused_for,
    )
    page = await services.service.list(wanted, cursor=asked.cursor, limit=asked.limit)
    return Answer(body={"keys": [public(key) for key in page.keys], "next_cursor": page.next_cursor})


async def show(services: Services, call: Call[NoParameters]) -> Answer:
    """Show one key."""
    return _shown(await services.service.get(call.key_id))


async def update(services: Services, call: Call[KeyChangeBody]) -> Answer | Problem:
    """Change what a key is called and may do."""
    change = KeyChange(**{name: getattr(call.asked, name) for name in call.asked.model_fields_set})
    return await _conditionally(
        services,
        call,
        lambda version: services.service.update(
            call.key_id, change, call.by, expected_version=version, misread=call.misread
        ),
        _shown,
    )


async def disable(services: Services, call: Call[Nothing]) -> Answer | Problem:
    """Refuse a key for now."""
    act = services.service.disable
    return await _conditionally(
        services, call, lambda version: act(call.key_id, call.by, expected_version=version), _shown
    )


async def enable(services: Services, call: Call[Nothing]) -> Answer | Problem:
    """Let a disabled key pass again."""
    act = services.service.enable
    return await _conditionally(
        services, call, lambda version: act(call.key_id, call.by, expected_version=version), _shown
    )


async def revoke(services: Services, call: Call[RevocationBody]) -> Answer | Problem:
    """End a key for good."""
    return await _conditionally(
        services,
        call,
        lambda version: services.service.revoke(
            call.key_id, call.by, reason=call.asked.reason, expected_version=version, misread=call.misread
        ),
        _shown,
    )


async def rotate(services: Services, call: Call[RotationBody]) -> Answer | Problem:
    """Replace a key by a new one."""
    return await _conditionally(
        services,
        call,
        lambda version: services.service.rotate(
            call.key_id, call.by, grace=call.asked.grace, expected_version=version, misread=call.misread
        ),
        _issued,
    )


async def grace(services: Services, call: Call[NoParameters]) -> Answer | Problem:
    """Tell who still calls with a rotated key."""
    report = await services.service.grace(call.key_id)
    record = report.record
    if record.rotated_to is None:
        return Problem(code=AdminCode.NOT_ROTATED)
    addresses = [{"address": address, "calls": calls} for address, calls in report.use.addresses.items()]
    body = {
        "key_id": record.key_id,
        "rotated_to": record.rotated_to,
        "rotated_at": record.rotated_at,
        "grace_until": record.grace_until,
        "last_used": record.last_used,
        "calls": report.use.calls,
        "addresses": addresses,
        "safe_to_end": report.is_safe,
    }
    return Answer(body=plain(body))


async def purge(services: Services, call: Call[PurgeBody]) -> Answer:
    """Forget keys that were revoked long ago."""
    return Answer(body={"purged": await services.service.purge(call.asked.revoked_before, call.by)})


def location(record: ApiKey) -> str:
    """Return where a record is shown."""
    return f"/admin/v1/keys/{record.key_id}"


def _new_key(services: Services, asked: NewKeyBody) -> NewKey:
    return NewKey(
        user_id=asked.user_id,
        name=asked.name,
        tier=services.default_tier if asked.tier is None else asked.tier,
        environment=services.default_environment if asked.environment is None else asked.environment,
        scopes=asked.scopes,
        lifetime=asked.expires_in,
        expires_at=asked.expires_at,
        never=asked.never,
        limits=asked.limits,
        metadata=asked.metadata,
    )


async def _conditionally(
    services: Services,
    call: Call[Any],
    act: Callable[[int | None], Awaitable[Result]],
    show_result: Callable[[Result], Answer],
) -> Answer | Problem:
    """Do it to the version that the condition names, or else say which one there is."""
    if call.if_match is None:
        return show_result(await act(None))
    record = await services.service.get(call.key_id)
    if entity_tag(record) not in call.if_match:
        return _stale(record)
    try:
        return show_result(await act(record.version))
    except ConflictError:
        return _stale(await services.service.get(call.key_id))


def _stale(record: ApiKey) -> Problem:
    return Problem(code=AdminCode.PRECONDITION_FAILED, headers={"etag": entity_tag(record)})


def _shown(record: ApiKey, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        body=public(record), headers={"etag": entity_tag(record), **(headers or {})}, key_id=record.key_id
    )


def _issued(issued: IssuedKey) -> Answer:
    record = issued.record
    return Answer(
        status=201,
        body={**public(record), "key": issued.text},
        headers={"etag": entity_tag(record), "location": location(record)},
        key_id=record.key_id,
    )
