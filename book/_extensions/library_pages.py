"""Write the pages of the library from its docstrings, and link them with the chapters.

Before the book is read, `write_pages` puts one page for each module of `meta_lib` into
`book/library/`, so that a new module cannot be forgotten. sphinx.ext.autodoc fills the pages.

A docstring names the chapter that explains it, in words: `part 3, "MAML"`; or the section,
`part 3, "MAML", section "The same in the library"`; or `the preface`. What names none belongs to
the chapters of its module. Such words become links. A chapter or section that the book does not
have is a link without a target, which fails the build, and so does an entry without a chapter:
text and library cannot drift apart.

And back: sphinx_codeautolink links the names in the chapters' code to the library's pages and
knows which section uses what. So each entry ends with the sections that show it, and each chapter
with the entries that belong to it.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.roles import XRefRole
from sphinx.util import import_object, logging

PACKAGE = "meta_lib"
FOLDER = "book/library"  # beside it, book/library.md is the page that lists them
# What checks and draws, and the command line, which has its --help.
WITHOUT_PAGE = {"checks", "commands", "figures", "moving", "options"}
ENTRIES = {"class", "exception", "function"}
logger = logging.getLogger(__name__)


# The pages


def write_pages(app, config):
    """Write one page for each public module or subpackage."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.rst"):
        old.unlink()
    for path in modules(Path(import_object(PACKAGE).__file__).parent):
        if path.stem not in WITHOUT_PAGE:
            name = f"{PACKAGE}.{path.stem}"
            page = automodule(name, "=")
            if path.is_dir():
                parts = [part.stem for part in modules(path) if part.stem not in WITHOUT_PAGE]
                page += "".join(automodule(f"{name}.{part}", "-") for part in parts)
            # These pages are English: a search in another language passes them over.
            head = "" if config.language == "en" else ":nosearch:\n\n"
            (folder / f"{name}.rst").write_text(head + page, encoding="utf-8")


def modules(package):
    """List a package's public modules and subpackages by name."""
    paths = [path for path in package.iterdir() if path.suffix == ".py" or path.is_dir()]
    return sorted(path for path in paths if not path.stem.startswith("_"))


def automodule(name, underline):
    """Return a heading and the directive that autodoc fills in beneath it."""
    return f"{name}\n{underline * len(name)}\n\n.. automodule:: {name}\n\n"


# Docstrings and signatures, as the pages show them

CHAPTER = re.compile(
    r'(?:[Pp]art\s+(?P<part>\d+),\s+"(?P<title>[^"]+)"|[Tt]he\s+preface)'
    r'(?:,\s+section\s+"(?P<section>[^"]+)")?'
)
CODE = r"`[^`]+`"
ADDRESS = r"https?://\S+"
SIGN = r"[\\*|_]"  # markup to reStructuredText, but a sign like any other in a docstring
PROSE = re.compile("|".join([CHAPTER.pattern, CODE, ADDRESS, SIGN]))


def set_docstring(app, what, name, obj, options, lines):
    """Turn a docstring into reStructuredText. An indented block stays as it is."""
    own = [text for text in lines if not text.startswith("Create new instance of")]  # NamedTuple
    paragraphs = "\n".join(own).strip().split("\n\n")
    block = ".. code-block:: text\n\n"
    shown = [block + part if part.startswith(" ") else markup(part) for part in paragraphs]
    lines[:] = "\n\n".join(shown).split("\n")


def markup(prose):
    """Make links of chapters, leave code and addresses to Sphinx, and take signs literally."""

    def replace(match):
        text = match[0]
        if mention := CHAPTER.fullmatch(text):
            return f":chapter:`{' '.join(text.split())} <{'#'.join(words(mention))}>`"
        return f"\\{text}" if re.fullmatch(SIGN, text) else text

    return PROSE.sub(replace, prose)


def words(mention):
    """Return part, title and section of a chapter as they are named, each on one line."""
    return [" ".join((part or "").split()) for part in mention.group("part", "title", "section")]


def set_signature(app, what, name, obj, options, signature, returns):
    """Show a signature as the source has it: `Loss`, and not what it is short for."""
    if what not in ("class", "function", "method"):
        return None
    source = ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]
    if what == "class":
        fields = [ast.unparse(part) for part in source.body if isinstance(part, ast.AnnAssign)]
        made = [part for part in source.body if getattr(part, "name", "") == "__init__"]
        if not made:  # a named tuple or a dataclass, if it has fields at all
            return (f"({', '.join(fields)})", None) if fields else None
        source = made[0]
    if source.args.args and source.args.args[0].arg in ("self", "cls"):
        del source.args.args[0]
    returns = ast.unparse(source.returns) if source.returns and what != "class" else None
    return f"({ast.unparse(source.args)})", returns


def skip_fields(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples: the docstring of the class describes them."""
    return True if (inspect.getdoc(obj) or "").startswith("Alias for field number") else None


# Chapters and entries, and what belongs together


def chapters(env):
    """List the pages of the book, each with the number of its part; the preface has none."""
    root = env.external_site_map.root
    parts = enumerate(root.subtrees, 1)
    return [("", root.docname)] + [(str(part), page) for part, tree in parts for page in tree.items]


def outline(env, page):
    """List the text, in English, and the anchor of a page's headings, its title first."""
    english = env.config.english_headings
    links = [(one.astext(), one["anchorname"]) for one in env.tocs[page].findall(nodes.reference)]
    return [(english.get(text, text), anchor) for text, anchor in links]


def find_chapter(env, part, title, section):
    """Return page and anchor of a chapter, or of its section if one is named, or None."""
    for number, page in chapters(env):
        # The book has typeset quotation marks; a docstring has those of a typewriter.
        headings = [(re.sub("[‘’]", "'", text), anchor) for text, anchor in outline(env, page)]
        if number == part and title in ("", headings[0][0]):
            anchors = {"": ""} | dict(headings[1:])
            return (page, anchors[section]) if section in anchors else None
    return None


def explained_in(env, name):
    """Return where an entry is explained, page to anchor: what it names, or else its module."""
    entry = import_object(name)
    for docstring in (entry.__doc__, import_object(entry.__module__).__doc__):
        places = [find_chapter(env, *words(match)) for match in CHAPTER.finditer(docstring or "")]
        if places:
            return dict(filter(None, places))
    logger.warning("%s names no chapter that explains it, and nor does its module", name)
    return {}


def used_in(env, name):
    """Return where the code of the chapters uses an entry, page to anchor.

    Of each page that is the section that shows the entry's source, or else the first one.
    """
    places = {}
    for _, page in chapters(env):
        uses = [
            block
            for block in env.sphinx_codeautolink_transforms.get(page, ())
            for use in block.names
            if use.resolved_location == name and not use.context.startswith("import")
        ]
        if uses:
            first = next((block for block in uses if "show_source(" in block.source), uses[0])
            places[page] = f"#{first.example.ref_id}"
    return places


def join(app, env):
    """Note for each entry of the library where it is explained and where it is used."""
    env.library_entries = {
        name: (explained_in(env, name), used_in(env, name))
        for name, entry in env.domains["py"].objects.items()
        if entry.objtype in ENTRIES
    }


# Links


def resolve_reference(app, env, node, text):
    """Find what Sphinx itself does not: chapters, and names of the library that are cut short."""
    target, objects = node["reftarget"], env.domains["py"].objects
    if node["reftype"] == "chapter":
        place = find_chapter(env, *target.split("#"))
        return place and link(app, node["refdoc"], *place, text)
    # A type is an entry, and so is `training.minimise` in prose; `margin` is an argument.
    if node.get("refdomain") == "py" and (node["reftype"] == "class" or "." in target):
        found = [entry for name, entry in objects.items() if name.endswith(f".{target}")]
        if len(found) == 1:
            return link(app, node["refdoc"], found[0].docname, f"#{found[0].node_id}", text)
    return None


def link(app, page, target, anchor, shown):
    """Return a link from a page to a place on another."""
    address = app.builder.get_relative_uri(page, target) + anchor
    return nodes.reference("", "", shown, internal=True, refuri=address)


def add_links(app, doctree, page):
    """End each entry with the sections that explain it, and each chapter with its entries."""
    if page == FOLDER:
        add_modules(app, page, doctree)
    elif page.startswith(FOLDER):
        for entry in list(doctree.findall(addnodes.desc)):
            if entry["objtype"] in ENTRIES:
                add_sections(app, page, entry)
    else:
        add_entries(app, page, doctree)


def add_modules(app, page, doctree):
    """List the modules that have a page, each with the first line of its docstring."""
    for name, module in sorted(app.env.domains["py"].modules.items()):
        if name.count(".") == 1:
            shown = link(app, page, module.docname, "", nodes.literal("", name))
            doctree[0] += line(shown, [nodes.Text(import_object(name).__doc__.splitlines()[0])])


def add_sections(app, page, entry):
    """Say beneath an entry's docstring where it is explained, and where else it is used."""
    explained, used = app.env.library_entries[entry[0]["ids"][0]]
    here = {chapter: anchor or used.get(chapter, "") for chapter, anchor in explained.items()}
    elsewhere = {chapter: anchor for chapter, anchor in used.items() if chapter not in explained}
    lines = []
    for name, places in (("Explained in", here), ("Used in", elsewhere)):
        links = []
        for chapter, anchor in places.items():
            (title, _), *headings = outline(app.env, chapter)
            sections = [text for text, place in headings if place == anchor and places is here]
            shown = nodes.Text(", ".join([title, *(f"“{text}”" for text in sections)]))
            links.append(link(app, page, chapter, anchor, shown))
        lines += line(nodes.Text(name), links)
    members = [number for number, part in enumerate(entry[-1]) if isinstance(part, addnodes.desc)]
    place = min(members, default=len(entry[-1]))
    entry[-1][place:place] = lines


def add_entries(app, page, doctree):
    """List at a chapter's end what it uses of the library, and what names it."""
    modules = {}
    for name, places in app.env.library_entries.items():
        if any(page in pages for pages in places):
            target = app.env.domains["py"].objects[name].docname
            module, entry = name.rsplit(".", 1)
            shown = link(app, page, target, f"#{name}", nodes.literal("", entry))
            modules.setdefault((module, target), []).append(shown)
    if modules:
        doctree[0] += nodes.rubric("", app.config.words["in_library"])
    for (module, target), links in modules.items():
        name = link(app, page, target, f"#module-{module}", nodes.literal("", module))
        doctree[0] += line(name, links)


def line(name, links):
    """Return a paragraph of links that belong to a name, or none."""
    shown = nodes.paragraph("", "", name, nodes.Text(": "))
    for number, one in enumerate(links):
        shown += [nodes.Text(" · ")] * bool(number) + [one]
    return [shown] if links else []


def setup(app):
    app.add_role("chapter", XRefRole(innernodeclass=nodes.inline, warn_dangling=True))
    app.connect("config-inited", write_pages)  # the toc is read at priority 900
    app.connect("autodoc-process-docstring", set_docstring)
    app.connect("autodoc-process-signature", set_signature)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("env-updated", join, priority=600)  # sphinx_codeautolink finds its names at 500
    app.connect("missing-reference", resolve_reference)
    app.connect("doctree-resolved", add_links)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
