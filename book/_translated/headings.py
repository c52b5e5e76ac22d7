"""Let a heading have the same address in both languages: links, and the switch, need no other."""

from functools import cache

from catalogues import documents, messages_of, translator
from docutils import nodes
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors.index import slugify
from mdit_py_plugins.dollarmath import dollarmath_plugin

MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin)


def slug(title):
    """Return the address of a heading as links have it: that of the English heading."""
    return slugify(english().get(title, title))


@cache
def english():
    """Return the plain words of each heading by those of its translation."""
    found = {}
    for document in documents():
        translate = translator(document)
        for message in messages_of(document):
            if message.heading and translate(message.text):
                found[_plain(translate(message.text))] = _plain(message.text)
    return found


def name_sections(app, doctree):
    """Give each section the name in the page that its English heading would give it."""
    for section in doctree.findall(nodes.section):
        title = english().get(section.next_node(nodes.title).astext())
        name = nodes.make_id(title) if title else ""
        if name and name not in doctree.ids:
            section["ids"].insert(0, name)
            doctree.ids[name] = section


def tell_english(app, config):
    """Let the library's pages find the chapters by their English headings."""
    config.english_headings = english()


def setup(app):
    app.connect("config-inited", tell_english)
    # Before the table of contents is made.
    app.connect("doctree-read", name_sections, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _plain(markdown):
    inline = MARKDOWN.parseInline(markdown)[0].children
    return "".join(part.content for part in inline if part.type in ("text", "code_inline"))
