"""The admin API's operations that show how things came about: the audit log and the peppers."""

from __future__ import annotations

from dataclasses import asdict

from extauth.admin.endpoint import Answer, Call, Services
from extauth.admin.models import AuditQuery, NoParameters
from extauth.keys.views import public_entry
from extauth.stores.base import AuditFilter


async def list_entries(services: Services, call: Call[AuditQuery]) -> Answer:
    """Show a page of the audit log."""
    asked = call.asked
    wanted = AuditFilter(
        key_id=asked.key_id, actor=asked.actor, action=asked.action, since=asked.since, until=asked.until
    )
    page = await services.service.audit(wanted, cursor=asked.cursor, limit=asked.limit)
    entries = [public_entry(entry) for entry in page.entries]
    return Answer(body={"entries": entries, "next_cursor": page.next_cursor})


async def list_peppers(services: Services, _call: Call[NoParameters]) -> Answer:
    """Show which peppers keys still need."""
    return Answer(body={"peppers": [asdict(status) for status in await services.service.pepper_status()]})
