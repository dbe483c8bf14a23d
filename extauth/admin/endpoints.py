"""The one table of the admin API: routing, rights and documentation are all made from these rows."""

from __future__ import annotations

from extauth.admin import audit, keys
from extauth.admin.bans import BAN_ENDPOINTS
from extauth.admin.endpoint import Endpoint
from extauth.admin.limits import LIMIT_ENDPOINTS
from extauth.admin.models import (
    AuditQuery,
    KeyChangeBody,
    KeyListQuery,
    NewKeyBody,
    NoParameters,
    Nothing,
    PurgeBody,
    RevocationBody,
    RotationBody,
)
from extauth.admin.records import (
    AuditList,
    GraceUse,
    IssuedKeyRecord,
    KeyList,
    KeyRecord,
    PepperList,
    Purged,
)
from extauth.admin.usage import USAGE_ENDPOINTS
from extauth.keys.scopes import AUDIT_READ, KEYS_READ, KEYS_WRITE

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="createKey",
        method="POST",
        path="/keys",
        scope=KEYS_WRITE,
        summary="Make a key",
        description=(
            "The answer holds the key, this once. Nobody can give a key a scope that they don't hold. Under "
            "an Idempotency-Key the request may be repeated for a day: a repetition makes no other key and "
            "is answered 200 with the record alone, since the key is kept nowhere."
        ),
        act=keys.create,
        asked=NewKeyBody,
        judged=True,
        answers={201: IssuedKeyRecord, 200: KeyRecord},
        repeatable=True,
        tagged=True,
        conflicts=True,
    ),
    Endpoint(
        name="listKeys",
        method="GET",
        path="/keys",
        scope=KEYS_READ,
        summary="List keys",
        description=(
            "Oldest first. A page may hold fewer keys than asked for, or none, and yet not be the last: "
            "follow `next_cursor` until it is null."
        ),
        act=keys.list_keys,
        asked=KeyListQuery,
        judged=True,
        answers={200: KeyList},
    ),
    # Before the paths that name a key, which `purge` is not.
    Endpoint(
        name="purgeKeys",
        method="POST",
        path="/keys/purge",
        scope=KEYS_WRITE,
        summary="Forget keys that were revoked long ago",
        description="Their records are gone for good; the audit log stays.",
        act=keys.purge,
        asked=PurgeBody,
        answers={200: Purged},
    ),
    Endpoint(
        name="showKey",
        method="GET",
        path="/keys/{key_id}",
        scope=KEYS_READ,
        summary="Show a key",
        act=keys.show,
        asked=NoParameters,
        answers={200: KeyRecord},
        tagged=True,
    ),
    Endpoint(
        name="updateKey",
        method="PATCH",
        path="/keys/{key_id}",
        scope=KEYS_WRITE,
        summary="Change a key",
        description="What is left out stays as it is. A revoked key can't be changed.",
        act=keys.update,
        asked=KeyChangeBody,
        judged=True,
        answers={200: KeyRecord},
        conditional=True,
        tagged=True,
        conflicts=True,
    ),
    Endpoint(
        name="disableKey",
        method="POST",
        path="/keys/{key_id}/disable",
        scope=KEYS_WRITE,
        summary="Refuse a key for now",
        act=keys.disable,
        asked=Nothing,
        answers={200: KeyRecord},
        needs_body=False,
        conditional=True,
        tagged=True,
        conflicts=True,
    ),
    Endpoint(
        name="enableKey",
        method="POST",
        path="/keys/{key_id}/enable",
        scope=KEYS_WRITE,
        summary="Let a disabled key pass again",
        description="A revoked key stays revoked.",
        act=keys.enable,
        asked=Nothing,
        answers={200: KeyRecord},
        needs_body=False,
        conditional=True,
        tagged=True,
        conflicts=True,
    ),
    Endpoint(
        name="revokeKey",
        method="POST",
        path="/keys/{key_id}/revoke",
        scope=KEYS_WRITE,
        summary="End a key for good",
        description="Revoking a revoked key changes nothing.",
        act=keys.revoke,
        asked=RevocationBody,
        judged=True,
        answers={200: KeyRecord},
        needs_body=False,
        conditional=True,
        tagged=True,
        conflicts=True,
    ),
    Endpoint(
        name="rotateKey",
        method="POST",
        path="/keys/{key_id}/rotate",
        scope=KEYS_WRITE,
        summary="Replace a key",
        description=(
            "Makes a new key with the settings of this one, and answers with it as createKey does; its ETag "
            "is the new key's. The old key goes on working for the grace. Only who holds the key's scopes "
            "can rotate it."
        ),
        act=keys.rotate,
        asked=RotationBody,
        judged=True,
        answers={201: IssuedKeyRecord},
        needs_body=False,
        conditional=True,
        tagged=True,
        conflicts=True,
    ),
    Endpoint(
        name="showGrace",
        method="GET",
        path="/keys/{key_id}/grace",
        scope=KEYS_READ,
        summary="Show who still calls with a rotated key",
        description="And whether its grace can be ended, by revoking it, without anybody noticing.",
        act=keys.grace,
        asked=NoParameters,
        answers={200: GraceUse},
        conflicts=True,
    ),
    Endpoint(
        name="listAudit",
        method="GET",
        path="/audit",
        scope=AUDIT_READ,
        summary="Show the audit log",
        description="All changes of keys and of bans, newest first. Pages are as those of listKeys.",
        act=audit.list_entries,
        asked=AuditQuery,
        judged=True,
        answers={200: AuditList},
    ),
    Endpoint(
        name="listPeppers",
        method="GET",
        path="/peppers",
        scope=KEYS_READ,
        summary="Show which peppers keys need",
        description="A pepper that no key needs can go from the configuration.",
        act=audit.list_peppers,
        asked=NoParameters,
        answers={200: PepperList},
    ),
    *LIMIT_ENDPOINTS,
    *BAN_ENDPOINTS,
    *USAGE_ENDPOINTS,
)
