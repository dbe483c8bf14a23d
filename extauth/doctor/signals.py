"""What proxies report: whether ends of requests arrive, or leases end by expiry instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from extauth.doctor.findings import Finding, Notes

# One lease in a hundred is what a proxy that restarts now and then loses; one in ten is a proxy that reports
# only half of what it should.
_ODD_PART = 0.01
_BAD_PART = 0.1
_UNREAD = {
    "unreadable": "See docs/completion.md for the forms that can be read.",
    "foreign": "Add the proxy's network to throttle.sources, if that is where they came from.",
    "dropped": "Raise net.core.rmem_max to 4 MiB, or start more workers.",
}
_REFUSED = {
    "401": "Give the proxy throttle.token: Envoy and Traefik read it from EXTAUTH_THROTTLE__TOKEN.",
    "503": "Start more workers, or raise listen.max_connections: reports come faster than they are read.",
}


def signal_findings(samples: Mapping[str, Mapping[str, float]]) -> Sequence[Finding]:
    """Judge the metrics of a running server, since its start."""
    notes = Notes("signals")
    taken = samples["extauth_leases_taken_total"].get("", 0)
    ended = samples["extauth_leases_ended_total"]
    signals = sum(samples["extauth_completion_signals_total"].values())
    expired, reported = ended["expiry"], ended["signal"] + ended["disconnect"]
    if not taken:
        notes.ok("No lease was given out yet, so no report is missing.")
    elif not signals:
        _none(notes, taken, expired)
    else:
        _lost(notes, expired, reported)
    _unknown(notes, samples["extauth_completion_unknown_total"].get("", 0), signals)
    for why, mend in _UNREAD.items():
        if number := samples["extauth_completion_unread_total"].get(why, 0):
            notes.warn(f"{number:.0f} reports were {why}.", mend)
    for status, number in samples["extauth_completion_refusals_total"].items():
        if number:
            mend = _REFUSED.get(status, "See docs/completion.md for the forms that can be read.")
            notes.warn(f"{number:.0f} reports over HTTP were refused with {status}.", mend)
    return notes.findings


def _none(notes: Notes, taken: float, expired: float) -> None:
    said = f"{taken:.0f} leases were given out and no report of an end came; {expired:.0f} expired."
    mend = "Have the proxy report to listen.completion, as docs/completion.md says."
    if expired:
        notes.bad(said, mend)
    else:
        notes.warn(said, f"Look again when these requests have ended. {mend}")


def _lost(notes: Notes, expired: float, reported: float) -> None:
    ended = expired + reported
    part = expired / ended if ended else 0.0
    said = f"Of {ended:.0f} leases {expired:.0f} ended by expiry ({part:.1%})."
    mend = "See docs/throttling.md: reports get lost, or requests take longer than their timeout."
    if part > _BAD_PART:
        notes.bad(said, mend)
    elif part > _ODD_PART:
        notes.warn(said, mend)
    else:
        notes.ok(said)


def _unknown(notes: Notes, unknown: float, signals: float) -> None:
    if unknown > signals * _BAD_PART:
        notes.warn(
            f"{unknown:.0f} of {signals:.0f} reports were about no lease.",
            "Have the proxy report only requests that have a lease, once, and before it expires.",
        )
