"""Pages that keep themselves up to date: one poller for all who watch the same, and a bound on viewers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson
import structlog

from extauth.errors import NotFoundError, StoreError

# How many streams there may be at a time: in all, of one session, and of all sessions of one user, who could
# else sign in again and again, and leave no stream to anybody else.
MOST_STREAMS = 200
MOST_OF_SESSION = 6
MOST_OF_USER = 50
EVERY_SECONDS = 1.0
# When nothing is new for so long, a comment tells a proxy and the browser that somebody is there.
_HEARTBEAT_SECONDS = 5.0
HEARTBEAT = b": still here\n\n"
END = b"event: end\ndata: {}\n\n"

Seen = Mapping[str, Any]
# What a viewer has not been shown yet: only the latest, and None for the end.
_Queue = asyncio.Queue[Seen | None]


class Watch(NamedTuple):
    """What somebody watches: a name for it, how it is looked at, and what of that they may see."""

    name: str
    look: Callable[[], Awaitable[Seen]]
    show: Callable[[Seen], Seen] = lambda seen: seen


class Viewer(NamedTuple):
    """Whose a stream is."""

    session_id: str
    user_id: str


class Topic:
    """One thing that is watched, and its viewers."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._latest: Seen | None = None
        self.viewers: set[_Queue] = set()
        self.polling = asyncio.create_task(self._poll())

    def join(self) -> _Queue:
        """Add a viewer, who is shown at once what was seen last."""
        queue: _Queue = asyncio.Queue(maxsize=1)
        self.viewers.add(queue)
        if self._latest is not None:
            queue.put_nowait(self._latest)
        return queue

    def tell(self, seen: Seen | None) -> None:
        """Have all viewers be shown this next, in place of what they have not been shown yet."""
        for queue in self.viewers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(seen)

    async def _poll(self) -> None:
        failing = False
        while True:
            try:
                self._latest = await self._watch.look()
                self.tell(self._latest)
                failing = False
            except (StoreError, NotFoundError) as error:
                # Viewers keep what they have; the next look may succeed.
                if not failing:
                    log = structlog.get_logger("extauth.dashboard")
                    log.warning("events_not_read", topic=self._watch.name, problem=str(error))
                failing = True
            await asyncio.sleep(EVERY_SECONDS)


class Hub:
    """All topics that are watched."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._of_session: Counter[str] = Counter()
        self._of_user: Counter[str] = Counter()
        self._is_closed = False

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return self._of_session.total()

    @property
    def topics(self) -> int:
        """How many things are looked at, each once for all its viewers."""
        return len(self._topics)

    def has_room(self, viewer: Viewer) -> bool:
        """Tell whether somebody may have one more stream."""
        return (
            self.streams < MOST_STREAMS
            and self._of_session[viewer.session_id] < MOST_OF_SESSION
            and self._of_user[viewer.user_id] < MOST_OF_USER
        )

    def close(self) -> None:
        """End all streams: a server that stops waits until all of its answers are out."""
        self._is_closed = True
        for topic in self._topics.values():
            topic.tell(None)

    async def stream(
        self, viewer: Viewer, current: Callable[[], Awaitable[Watch | None]]
    ) -> AsyncGenerator[bytes, None]:
        """Give the events of one stream. It ends when there is nothing `current` any more, or the server."""
        watch = await current()
        if watch is not None:
            with self._counted(viewer), self._viewing(watch) as queue:
                # The first bytes tell the browser that the stream is open.
                yield HEARTBEAT
                while not self._is_closed and (watch := await current()) is not None:
                    try:
                        seen = await asyncio.wait_for(queue.get(), _HEARTBEAT_SECONDS)
                    except TimeoutError:
                        yield HEARTBEAT
                        continue
                    if seen is None:
                        break
                    yield b"data: " + orjson.dumps(watch.show(seen)) + b"\n\n"
        yield END

    @contextlib.contextmanager
    def _counted(self, viewer: Viewer) -> Iterator[None]:
        self._of_session[viewer.session_id] += 1
        self._of_user[viewer.user_id] += 1
        try:
            yield
        finally:
            self._of_session[viewer.session_id] -= 1
            self._of_user[viewer.user_id] -= 1
            # Without the ones that have none any more.
            self._of_session, self._of_user = +self._of_session, +self._of_user

    @contextlib.contextmanager
    def _viewing(self, watch: Watch) -> Iterator[_Queue]:
        topic = self._topics.get(watch.name)
        if topic is None:
            topic = self._topics[watch.name] = Topic(watch)
        queue = topic.join()
        try:
            yield queue
        finally:
            topic.viewers.discard(queue)
            if not topic.viewers:
                del self._topics[watch.name]
                topic.polling.cancel()
