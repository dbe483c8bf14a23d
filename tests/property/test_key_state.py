"""Whatever changes, or is crowded out of the caches: nobody is recognised by what is out of date."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.keys.directory import CacheSizes
from extauth.model import ApiKey
from extauth.patience import Patience
from tests.directory import Entry, Rig, rig

KEYS = 5
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "change", "load", "forget all", "settings"]),
        st.integers(0, KEYS - 1),
    ),
    max_size=40,
)


class Compiled(Entry):
    """An entry that tells under which settings it was compiled."""

    def __init__(self, key: ApiKey, settings: int) -> None:
        super().__init__(key)
        self.settings = settings


class Story:
    """Some keys, what is true of them, and a directory with room for fewer."""

    def __init__(self, it: Rig, texts: list[bytes], ids: list[str]) -> None:
        self.it = it
        self.texts = texts
        self.ids = ids
        self.versions = Counter(ids)
        self.settings = 0
        self.recall = it.directory.recognise if it.store.is_shared else it.directory.recall
        self.apply_settings()

    def apply_settings(self) -> None:
        """Put other settings in force."""
        self.settings += 1
        now = self.settings
        self.it.records.compile_with(lambda key: Compiled(key, now), lambda entry: Compiled(entry.key, now))

    async def step(self, what: str, number: int) -> None:
        """Have something happen."""
        key_id = self.ids[number]
        if what == "ask":
            if self.recall(self.texts[number]) is None:
                await self.it.directory.identify(self.texts[number], patience=Patience(5))
        elif what == "change":
            await self.it.change(key_id)
            self.versions[key_id] += 1
            self.it.records.forget([key_id])
        elif what == "load":
            await self.it.records.current(key_id)
        elif what == "forget all":
            # Nobody knows which key has changed.
            await self.it.change(key_id)
            self.versions[key_id] += 1
            self.it.records.forget_all()
        else:
            self.apply_settings()

    def check(self) -> None:
        """Whoever is recognised, is so by the newest record and the settings in force."""
        for text, key_id in zip(self.texts, self.ids, strict=True):
            entry = self.recall(text)
            if entry is not None:
                assert isinstance(entry, Compiled)
                assert (entry.key.key_id, entry.key.version) == (key_id, self.versions[key_id])
                assert entry.settings == self.settings


@pytest.mark.parametrize("is_shared", [False, True], ids=["a store of its own", "a shared store"])
@given(steps=STEPS)
def test_nobody_is_recognised_by_what_is_out_of_date(is_shared: bool, steps: list[tuple[str, int]]) -> None:  # noqa: FBT001 - a parameter of pytest
    """What is found by a secret is what is known of its key: newest record, settings in force."""

    async def scenario() -> None:
        async with rig(sizes=CacheSizes(verified=KEYS), records=1, is_shared=is_shared) as it:
            issued = [await it.issue() for _ in range(KEYS)]
            story = Story(it, [text for text, _ in issued], [parts.key_id for _, parts in issued])
            for what, number in (*(("ask", number) for number in range(KEYS)), *steps):
                await story.step(what, number)
                story.check()

    asyncio.run(scenario())
