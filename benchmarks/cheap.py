"""extauth as `python -m extauth` runs it, but with an argon2id of 8 KiB and one pass.

Thousands of keys must be verified before many keys can be measured, and the cheapest argon2id that the
settings allow takes minutes for them. What is measured is the same: a warm check runs no argon2id.
"""

from __future__ import annotations

from extauth import management
from extauth.cli.main import main
from extauth.keys.hashing import HashingParameters

CHEAPEST = HashingParameters(memory_kib=8, time_cost=1, parallelism=1)


def _cheapest(**_costs: int) -> HashingParameters:
    return CHEAPEST


if __name__ == "__main__":
    # In place of what is made of the settings: extauth would begin to hash records of other costs anew.
    setattr(management, "HashingParameters", _cheapest)  # noqa: B010 - a class by a function, which types forbid
    main()
