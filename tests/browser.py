"""A browser for the tests: moving figures by themselves, and the pages of the built book.

Everything is served from here; whatever asks another host is refused, and noted.
"""

import functools
import gzip
import io
import os
import shutil
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

from ipywidgets.embed import embed_data

from meta_lib import moving
from meta_lib.moving import stored

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
HERE = "http://book.test"
NEAR = (HERE, "http://127.0.0.1:", "file:", "data:", "blob:")
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
COMPLETE = """async () => {
    const soon = () => new Promise(requestAnimationFrame);
    while (document.readyState !== "complete") await soon();
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    const moves = document.querySelector(".moving-output");
    while (moves && document.documentElement.dataset.moving !== "ready") await soon();
    return performance.now();
}"""
# How many pixels a picture has for one that is shown, in width: at most, on a page.
SHARPEST = """() => Math.max(0, ...Array.from(document.images)
    .map((image) => image.naturalWidth / image.getBoundingClientRect().width)
    .filter(Number.isFinite))"""


@contextmanager
def chromium():
    """Start a browser that reaches nothing but this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", ALONE])
        try:
            yield browser
        finally:
            browser.close()


def watched(browser, width=1000, **options):
    """Open an empty page with an empty cache, which stays empty.

    It keeps in `page.faults` what goes wrong on it, and in `page.asked` what it asks for.
    """
    page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
    page.faults, page.asked = [], []
    page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("console", lambda said: page.faults.extend(_errors(said)))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda asked: page.faults.extend(_far(asked)))
    page.on("requestfailed", lambda asked: page.faults.extend(_failed(asked)))
    return page


def complete(page):
    """Wait until all of a page is there, and return the seconds since it was asked for."""
    return page.evaluate(COMPLETE) / 1000


def weight(page, folder):
    """Return the bytes that a page takes from a served folder, compressed, as a server would."""
    paths = {unquote(urlsplit(address).path).strip("/") for address in page.asked}
    return sum(_compressed(folder / path) for path in paths if (folder / path).is_file())


def show_figure(page, widget, address=""):
    """Put one moving figure on a page, as the book does, and wait until it stands."""
    return show_figures(page, [widget], address)


def show_figures(page, widgets, address=""):
    """Put several on one page."""
    figures = []
    for widget in widgets:
        still, _ = widget._repr_mimebundle_()
        models = embed_data(views=[widget], drop_defaults=False)["manager_state"]["state"]
        figures.append((stored.own(models[widget.model_id]), still["text/plain"]))
    return _shown(page, figures, address)


def show_stored(page, figure, address="", style=""):
    """Put a figure on a page from what is stored of it, and wait until it stands."""
    return _shown(page, [(figure, "still")], address, style)


def _shown(page, figures, address, style=""):
    page.route("**/*", functools.partial(_answer, html=_page_of(figures, style)))
    page.goto(f"{HERE}/{address}")
    page.wait_for_selector("html[data-moving=ready]")
    return page.locator(".moving-figure")


def call(figure, function, *arguments):
    """Call a function that the figure's module exports, and return what it returns."""
    return figure.evaluate(
        "(at, [name, given]) => at.module[name](...given)", [function, arguments]
    )


def put(figure, **values):
    """Set traits of a figure as its controls do, and return the read-out that follows."""
    figure.evaluate(
        """async (at, values) => {
            for (const name in values) at.model.set(name, values[name]);
            at.model.save_changes();
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }""",
        values,
    )
    return figure.locator(".moving-readout").text_content()


def reached(figure, iteration):
    """Wait until a training has come to an iteration, and return what the figure says then."""
    readout = figure.locator(".moving-readout", has_text=f"Iteration {iteration} of")
    readout.wait_for(timeout=120_000)
    return readout.text_content()


def told(figure, before):
    """Wait until the read-out is another than `before`, and return it."""
    wait = "([readout, before]) => readout.textContent !== before && readout.textContent"
    return _waited(figure, wait, before)


def rested(figure):
    """Wait until the read-out has stayed the same for a second, and return it."""
    wait = """([readout]) => {
        const text = readout.textContent, now = performance.now();
        if (readout.rests?.text !== text) readout.rests = { text, since: now };
        return now - readout.rests.since > 1000 && text;
    }"""
    return _waited(figure, wait)


def _waited(figure, wait, *given):
    readout = figure.locator(".moving-readout").element_handle()
    return figure.page.wait_for_function(wait, arg=[readout, *given], timeout=60_000).json_value()


def press(figure, name):
    """Press a button of a figure, by the keyboard."""
    figure.get_by_role("button", name=name, exact=True).press("Enter")


@contextmanager
def served(folder: Path, first=b""):
    """Serve a folder on this machine and give its address. In each page's head, put `first`."""

    class Quiet(SimpleHTTPRequestHandler):
        def send_head(self):
            if not (first and self.path.endswith(".html")):
                return super().send_head()
            page = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            return io.BytesIO(page.replace(b"<head>", b"<head>" + first, 1))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    server.handle_error = lambda *_: None  # a page that is closed while it is sent
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@functools.cache
def _compressed(path):
    return len(gzip.compress(path.read_bytes()))


def _far(asked):
    return [] if asked.url.startswith(NEAR) else [f"asks another host: {asked.url}"]


def _errors(said):
    where = said.location.get("url", "")
    return [f"{said.text} {where}".strip()] if said.type == "error" else []


def _failed(asked):
    # What is under way when the next page is opened is given up, and that is no fault.
    return [] if asked.failure == "net::ERR_ABORTED" else [f"failed: {asked.url}"]


def _answer(route, html):
    if route.request.url.startswith(HERE):
        route.fulfill(body=html, content_type="text/html; charset=utf-8")
    else:
        route.abort()


def _page_of(figures, style):
    host = (moving.FOLDER / "host.js").read_text(encoding="utf-8")
    outputs = "".join(
        f'<div class="moving-output"><img alt="{still}">{stored.embedded(figure)}</div>'
        for figure, still in figures
    )
    return (
        '<!doctype html><html lang="en"><title>A figure</title><link rel="icon" href="data:,">'
        f'<body style="{style}">{outputs}<script>{host}</script>'
    )
