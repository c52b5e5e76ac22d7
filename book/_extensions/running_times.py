"""Run the notebooks on all cores before they are read, and say on a page how long each took.

MyST-NB runs one notebook after the other. Here its cache is filled first, by the cache's own
executor. A notebook that fails is not kept there, so MyST-NB meets it again and says what is wrong.
"""

import logging
from contextlib import suppress
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from index_page import pages
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from sphinx.util.docutils import SphinxDirective


def fill_cache(app, env, docnames):
    """Run those of the documents that are notebooks and have changed."""
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    found = [path for path in map(env.doc2path, docnames) if path.endswith(".ipynb")]
    for path in found:
        cache.add_nb_to_project(path)
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.INFO)  # a line for each notebook
    executor = load_executor("local-parallel", cache, logger)
    executor.run_and_cache(filter_uris=found, timeout=app.config.nb_execution_timeout)


class RunningTimes(SphinxDirective):
    """A table of the chapters and the seconds that each ran; empty where none was run."""

    def run(self):
        """Parse the table as if it stood in the page."""
        self.env.note_reread()
        lines = ["| chapter | seconds |", "| --- | ---: |"]
        times = dict(self.times())
        lines += [f"| [](/{page}.ipynb) | {seconds:.0f} |" for page, seconds in times.items()]
        lines += [f"| all, added up | {sum(times.values()):.0f} |"]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, node)
        return node.children

    def times(self):
        """Yield (page, seconds) as the cache knows them."""
        if self.config.nb_execution_mode != "cache":
            return
        cache = get_cache(self.config.nb_execution_cache_path)
        for page in pages(self.env):
            path = Path(self.env.srcdir) / f"{page}.ipynb"
            with suppress(KeyError, FileNotFoundError):  # it failed, or is no notebook
                yield page, cache.match_cache_file(str(path)).data["execution_seconds"]


def setup(app):
    """Run early enough, and make the directive known."""
    app.connect("env-before-read-docs", fill_cache)
    app.add_directive("running-times", RunningTimes)
    return {"parallel_read_safe": False}
