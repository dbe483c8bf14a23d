"""The one list of limit algorithms, by the name that the configuration uses."""

from __future__ import annotations

from collections.abc import Mapping

from extauth.limits.algorithm import Algorithm
from extauth.limits.cool_down import COOL_DOWN
from extauth.limits.fixed_window import FIXED_WINDOW
from extauth.limits.sliding_window import SLIDING_WINDOW
from extauth.limits.token_bucket import TOKEN_BUCKET

DEFAULT_ALGORITHM = TOKEN_BUCKET.name
ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm for algorithm in (TOKEN_BUCKET, SLIDING_WINDOW, FIXED_WINDOW, COOL_DOWN)
}
