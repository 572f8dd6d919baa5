"""JSON as its standard has it, for files and output that other programs read.

>>> to_json({"loss": math.nan, "perplexity": [math.inf, 2.0]})
'{"loss": null, "perplexity": [null, 2.0]}'
"""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any, **options: Any) -> str:
    """Returns a value as JSON, with the options of `json.dumps`; numbers that JSON lacks (infinite, NaN) are null."""
    return json.dumps(without_infinities(value), allow_nan=False, **options)


def without_infinities(value: Any) -> Any:
    """Returns plain values (dicts, lists, numbers, ...) with None in place of numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: without_infinities(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_infinities(each) for each in value]
    return value
