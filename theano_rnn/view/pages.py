"""Building self-contained web pages from the package's HTML, CSS and JavaScript files and JSON data.

A page is one file that needs no server, network or library. In `data/NAME.html`, a comment with a file name, such as
``/*tokens.css*/`` or ``/*tokens.js*/``, is replaced by the text of that file. ``<!--data-->`` is replaced by one
``<script type="application/json" id="...">`` for each data item, which the page's script reads by its id.

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
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)  # scripts and styles; data items have a type attribute
UNSAFE = {  # characters with a meaning in HTML or JavaScript, and surrogates, which UTF-8 cannot encode
    code: f"\\u{code:04x}" for code in [*map(ord, "<>&\u2028\u2029"), *range(0xD800, 0xE000)]
}


def build_page(name: str, **data: Any) -> str:
    """Build the page `data/NAME.html` with its styles and scripts, and each item of `data` as JSON with its name as id.

    Raises
    ------
    ValueError
        An item contains a number that JSON cannot represent, such as infinity.
    """
    html = PART.sub(lambda found: read_part(found[1]), read_part(f"{name}.html"))
    scripts = (f'<script type="application/json" id="{key}">{json_text(value)}</script>' for key, value in data.items())
    return html.replace("<!--data-->", "\n".join(scripts))


def read_part(name: str) -> str:
    """Read a text file in the package's folder `data`."""
    return importlib.resources.files("theano_rnn").joinpath(f"data/{name}").read_text(encoding="utf-8")


def json_text(value: Any) -> str:
    """Encode `value` as JSON that is safe inside a script element, whatever strings it contains."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(UNSAFE)


def security_policy(html: str) -> str:
    """Returns a Content-Security-Policy that allows only the page's own styles and scripts (by hash) and own server.

    A page with the comment ``<!--media-->`` may also play sound that it has itself.

    >>> security_policy("<style>p {}</style>")
    "default-src 'none'; style-src 'sha256-SNJDlN1Iy2mnt7DOjQIyDb2LQE6O5PQiSZomcdzawQ4='; img-src data:; connect-src \
'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for tag, text in INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[tag].append(f"'sha256-{digest}'")
    sources = [f"{tag}-src {' '.join(found)}" for tag, found in hashes.items() if found]
    if "<!--media-->" in html:
        sources.append("media-src data: blob:")
    rest = ["img-src data:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    return "; ".join(["default-src 'none'", *sources, *rest])
