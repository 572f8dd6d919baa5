"""Web pages put together: an HTML file of the package, its styles and scripts inside it, and data as JSON.

A page is one file that needs nothing else: no server, no network, no library. In `data/NAME.html` a comment with a
file's name stands for that file's text, ``/*tokens.css*/`` or ``/*tokens.js*/``, and ``<!--data-->`` for one
``<script type="application/json" id="...">`` for each datum, which the page's script reads by its id.

>>> json_text({"title": "</script> & more"})
'{"title":"\\\\u003c/script\\\\u003e \\\\u0026 more"}'
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from typing import Any

PART = re.compile(r"/\*([\w-]+\.(?:css|js))\*/")
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)  # what a browser runs or applies; data have a type
UNSAFE = {  # in HTML, in a script, or, halves of characters, in UTF-8
    code: f"\\u{code:04x}" for code in [*map(ord, "<>&\u2028\u2029"), *range(0xD800, 0xE000)]
}


def page(name: str, **data: Any) -> str:
    """The page `data/NAME.html` with all its parts, and each of `data` as JSON under its name as id.

    Raises
    ------
    ValueError
        A datum holds a number that JSON does not have, such as infinity.
    """
    html = PART.sub(lambda found: part(found[1]), part(f"{name}.html"))
    scripts = (f'<script type="application/json" id="{key}">{json_text(value)}</script>' for key, value in data.items())
    return html.replace("<!--data-->", "\n".join(scripts))


def part(name: str) -> str:
    """The text of a file in the package's folder `data`."""
    return importlib.resources.files("theano_rnn").joinpath(f"data/{name}").read_text(encoding="utf-8")


def json_text(value: Any) -> str:
    """`value` as JSON that may stand in a script element, whatever texts are in it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(UNSAFE)


def security_policy(html: str) -> str:
    """A Content-Security-Policy for a page: its own styles and scripts by their hashes, its own server, no others.

    >>> security_policy("<style>p {}</style>")
    "default-src 'none'; style-src 'sha256-SNJDlN1Iy2mnt7DOjQIyDb2LQE6O5PQiSZomcdzawQ4='; img-src data:; connect-src \
'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for tag, text in INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[tag].append(f"'sha256-{digest}'")
    sources = [f"{tag}-src {' '.join(found)}" for tag, found in hashes.items() if found]
    rest = ["img-src data:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    return "; ".join(["default-src 'none'", *sources, *rest])
