"""The one list of limit algorithms, by the name that the configuration uses."""

from __future__ import annotations

from collections.abc import Mapping

from extauth.limits import token_bucket
from extauth.limits.algorithm import Step

DEFAULT_ALGORITHM = "token_bucket"
ALGORITHMS: Mapping[str, Step] = {DEFAULT_ALGORITHM: token_bucket.step}
