"""Write the index from the chapters' own links, so that it cannot part from them.

A term of the glossary is linked where a chapter first uses it, and a work where it is cited. The
directives `terms-index` and `works-index` collect these links with the sections in which they
stand. What a directive returns is Markdown, parsed like the page itself: a section that is gone
is a broken link, which fails the build.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from myst_parser.mdit_to_docutils.base import default_slugify
from sphinx.util.docutils import SphinxDirective

HEADING = re.compile(r"^(#{1,3})\s+(.+)$")
TERM = re.compile(r"\]\((?:\.\./)?glossary\.md#([^)\s]+)\)")
WORK = re.compile(r"\[([^\]]*\d{4}[^\]]*)\]\((https?://[^)\s]+)\)")
ENTRY = re.compile(r"^@\w+\{([^,]+),(.*?)^\}", re.MULTILINE | re.DOTALL)


def pages(env):
    """List the chapters in the book's order, the preface first, as paths without ending."""
    root = env.external_site_map.root
    return [root.docname, *(page for tree in root.subtrees for page in tree.items)]


def in_order(text):
    """Return the key that sorts words: by letters, and Chinese ones by pinyin, as GB 2312 does."""
    return text.lower().encode("gb18030")


def passages(source, slugify):
    """Yield (chapter, section, its anchor, a line of prose) of a notebook's Markdown."""
    chapter = section = ""
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for line in "".join(cell["source"]).splitlines():
            if heading := HEADING.match(line):
                section = heading[2]
                chapter = section if len(heading[1]) == 1 else chapter
            yield chapter, section, slugify(section), line


def slug_of(env):
    """Return the function that makes a heading's address."""
    return env.myst_config.heading_slug_func or default_slugify


def found(env, pattern):
    """Return {match's groups: [(chapter, section, address)]} over all chapters, each place once."""
    places = defaultdict(list)
    for page in pages(env):
        source = Path(env.srcdir) / f"{page}.ipynb"
        if not source.exists():
            continue
        for chapter, section, anchor, line in passages(source, slug_of(env)):
            place = (chapter, section, f"/{page}.ipynb#{anchor}")
            for match in pattern.finditer(line):
                if place not in places[match.groups()]:
                    places[match.groups()].append(place)
    return places


class Index(SphinxDirective):
    """A list that is made of the chapters' links."""

    def items(self):
        """Return the lines of the list, in Markdown."""
        raise NotImplementedError

    def item(self, name, places):
        """Return a line: the name, then chapter by chapter the sections as links."""
        chapters = defaultdict(list)
        for chapter, section, address in places:
            words = section if section != chapter else self.config.words["chapter_opening"]
            chapters[chapter].append(f"[{words}]({address})")
        said = "; ".join(f"{chapter}: {', '.join(links)}" for chapter, links in chapters.items())
        return f"- **{name}** {said}"

    def run(self):
        """Parse the list as if it stood in the page."""
        self.env.note_reread()  # it depends on all other pages
        node = nodes.container(classes=["index-list"])
        lines = self.items()
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, node)
        return node.children


class Terms(Index):
    """The terms of the glossary, in order."""

    def items(self):
        """Raise ValueError for a term that no chapter links: a glossary of what is not there."""
        places = {anchor: where for (anchor,), where in found(self.env, TERM).items()}
        source = Path(self.env.srcdir) / "book/glossary.md"
        terms = re.findall(r"^### (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
        addresses = {term: slug_of(self.env)(term) for term in terms}
        unused = [term for term, address in addresses.items() if address not in places]
        if unused:
            raise ValueError(f"no chapter links these terms of the glossary: {', '.join(unused)}")
        return [
            self.item(f"[{term}](glossary.md#{addresses[term]})", places[addresses[term]])
            for term in sorted(terms, key=in_order)
        ]


class Works(Index):
    """The works of the bibliography that chapters cite, by author."""

    def items(self):
        """Name each by its first citation's words."""
        cited = defaultdict(list)
        labels = {}
        for (label, url), where in found(self.env, WORK).items():
            labels.setdefault(url, label)
            cited[url] += [place for place in where if place not in cited[url]]
        source = (Path(self.env.srcdir) / "book/references.bib").read_text(encoding="utf-8")
        known = {url for url in cited if url in source}
        return [
            self.item(f"[{labels[url]}]({url})", cited[url])
            for url in sorted(known, key=lambda url: in_order(labels[url]))
        ]


def setup(app):
    """Make the two directives known."""
    app.add_directive("terms-index", Terms)
    app.add_directive("works-index", Works)
    return {"parallel_read_safe": False}
