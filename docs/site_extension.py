"""What the documentation site adds to Sphinx: formulas as MathML, equations in docstrings, links out of ``docs/``."""

import dataclasses
import posixpath
import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parents[1]
# Pages of the repository that the site has too, in ``docs/project/``
PROJECT_PAGES = ("BENCHMARKS.md", "CHANGELOG.md", "CONTRIBUTING.md", "RESULTS.md", "SECURITY.md", "data/README.md",
                 "theano_rnn/pretrained/austen.md")  # fmt: skip
LINK = re.compile(r"`[^`\n]+`|(\]\()([^()#\s]+)(#[^()\s]*)?(\))")  # or code, which has no links
TERM_LINK = re.compile(r"\[([^\[\]]+)\]\((?:glossary\.md)?#([^()\s]+)\)")
INDEX_BELOW_BAR = re.compile(
    r"<munderover>\s*(<mi>[^<]*</mi>)\s*(<mi>[^<]*</mi>|<mrow>.*?</mrow>)\s*(<mo[^<>]*>ˉ</mo>)\s*</munderover>",
    re.DOTALL,
)
TERM = re.compile(r"^\*\*(.+)\*\*$", re.MULTILINE)


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(inline_math, None), block_renderers=(block_math, None))
    app.connect("builder-inited", write_project_pages)
    app.connect("source-read", lead_to_site)
    app.connect("autodoc-process-docstring", mark_equations, priority=100)  # before numpydoc
    app.connect("autodoc-process-docstring", add_settings, priority=110)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline_math(translator, node):
    """Write a formula in a line of text as MathML."""
    translator.body.append(as_mathml(node.astext()))
    raise nodes.SkipNode


def block_math(translator, node):
    """Write a formula on a line of its own as MathML."""
    translator.body.append(f'<div class="math">{as_mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def as_mathml(formula, **options):
    """Returns a LaTeX formula as MathML. The index of a letter with a bar stands behind it; docutils puts it below."""
    return INDEX_BELOW_BAR.sub(r"<msub><mover>\1\3</mover>\2</msub>", tex2mathml(formula, **options))


def mark_equations(app, kind, name, obj, options, lines):
    """Mark indented blocks as preformatted. In the docstrings of this package they are equations and examples."""
    for i in range(len(lines) - 1, 1, -1):
        follows_text = lines[i - 2].strip() and not lines[i - 2].startswith((" ", ">>>")) and not lines[i - 1].strip()
        if lines[i].startswith("  ") and follows_text and not lines[i - 2].endswith("::"):
            lines[i - 1 : i - 1] = ["", ".. code-block:: none"]


def add_settings(app, kind, name, obj, options, lines):
    """Add the help texts of a class of settings to its docstring, as its parameters."""
    settings = [item for item in dataclasses.fields(obj) if "help" in item.metadata] if is_dataclass(kind, obj) else []
    if settings:
        lines += ["", "Parameters", "----------"]
    for item in settings:
        text = re.sub(r"(?<![\w`])(--[\w-]+|<[^<>]+>)", r"``\1``", item.metadata["help"])
        lines += [f"{item.name} : {item.type}", f"    {text}"]


def is_dataclass(kind, obj):
    """Returns whether a documented object is a dataclass."""
    return kind == "class" and dataclasses.is_dataclass(obj)


def skip_tuple_fields(app, kind, name, obj, skip, options):
    """Leave out the fields of a named tuple, which Python documents as "Alias for field number 0"."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def write_project_pages(app):
    """Copy the pages of the repository into ``docs/project/``."""
    for page in PROJECT_PAGES:
        target = Path(app.srcdir, site_path(page)[len("docs/") :])
        text = relinked((ROOT / page).read_text(encoding="utf-8"), page, site_path(page))
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")


def lead_to_site(app, docname, source):
    """Let the links of a page lead to the site's copies of the project's pages, and to the terms of the glossary."""
    path = f"docs/{docname}.md"
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = {slug(term): term.strip("`") for term in TERM.findall(glossary)}

    def term_link(match):
        text, anchor = match.groups()
        is_term = anchor in terms and (docname == "glossary" or "glossary.md" in match.group())
        return f"{{term}}`{text.strip('`')} <{terms[anchor]}>`" if is_term else match.group()

    if (ROOT / path).exists() and not docname.startswith("project/"):
        source[0] = TERM_LINK.sub(term_link, relinked(source[0], path, path))


def slug(heading):
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def site_path(page):
    """Returns the path of the site's page for a file of the repository; other paths as they are."""
    if page == "tutorial/GALLERY_HEADER.rst":
        return "docs/tutorial/index.rst"
    if page.startswith("tutorial/part_"):
        return f"docs/{page.removesuffix('.py')}.rst"
    return f"docs/project/{page.replace('/', '-')}" if page in PROJECT_PAGES else page


def relinked(text, page, new_page):
    """Returns the text of a page with links as they must be if it is moved to another folder of the repository."""

    def changed(match):
        start, target, anchor, end = match.groups(default="")
        if not target or ":" in target:
            return match.group()
        path = site_path(posixpath.normpath(posixpath.join(posixpath.dirname(page), target)))
        return f"{start}{posixpath.relpath(path, posixpath.dirname(new_page))}{anchor}{end}"

    return LINK.sub(changed, text)


def no_arguments(gallery_conf, script_vars):
    """Returns the command-line arguments of a part of the tutorial: none."""
    return []
