"""Self-contained pages: they load nothing, and no data can close the script element that contains it."""

import json
import re

import pytest

from theano_rnn.view.pages import build_page, read_part, security_policy

NASTY = {
    "a": "</script><script>alert(1)</script>", "b": "<!--", "c": "&lt; \u2028\u2029", "d": "\ud800\0", "e": [1.5, None],
}  # fmt: skip


def test_a_page_has_its_parts_and_its_data():
    html = build_page("play", model=NASTY, other=[])
    assert read_part("tokens.css") in html and read_part("tokens.js") in html
    assert "/*tokens" not in html and "<!--data-->" not in html
    data = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', html, re.DOTALL)
    assert {name: json.loads(text) for name, text in data} == {"model": NASTY, "other": []}
    assert html.encode()
    assert not set("<>&\u2028\u2029") & set(data[0][1])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(number):
    with pytest.raises(ValueError, match="JSON"):
        build_page("play", model=number)


def test_a_page_needs_nothing_from_elsewhere():
    html = build_page("play", model={})
    assert not re.search(r"https?://|@import|<(img|iframe|object|embed|form)|\son\w+=|innerHTML|style=", html)
    assert not re.findall(r'(?:src|href)="(?!data:,")', html)


def test_a_policy_names_each_style_and_each_script_that_runs():
    policy = security_policy(build_page("play", model={"text": "<script>alert(1)</script>"}))
    assert policy == security_policy(build_page("play", model={}))
    assert policy.count("sha256-") == 2 and policy.startswith("default-src 'none'") and "unsafe" not in policy
