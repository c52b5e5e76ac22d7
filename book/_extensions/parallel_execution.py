"""Run the notebooks whose outputs are not in the cache, one on each core, before they are read.

MyST-NB runs them one after the other. Here its cache is filled first, by the cache's own executor;
a notebook that fails is not kept there, so MyST-NB meets it again and says what went wrong.
"""

import logging

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor


def fill_cache(app, env, docnames):
    """Run those of the documents that are notebooks and have changed."""
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    found = [env.doc2path(name) for name in docnames]
    for path in found:
        if path.endswith(".ipynb"):
            cache.add_nb_to_project(path)
    executor = load_executor("local-parallel", cache, logging.getLogger(__name__))
    executor.run_and_cache(filter_uris=found, timeout=app.config.nb_execution_timeout)


def setup(app):
    app.connect("env-before-read-docs", fill_cache)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
