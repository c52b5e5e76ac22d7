"""A moving figure in a real JupyterLab: Python sees what the reader does, and the other way."""

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import nbformat
import pytest
from playwright.sync_api import TimeoutError

CELLS = (
    "from meta_lib.moving.meta_update import MetaUpdate\nfigure = MetaUpdate()\nfigure",
    "print('the rate is', figure.alpha)",
    "figure.alpha = 0.8",
)
# What is run while JupyterLab is still setting up may be lost, and now and then a kernel hangs.
ATTEMPTS = ("first", "second", "third", "fourth")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    for attempt in ATTEMPTS:
        nbformat.write(notebook, folder / f"{attempt}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ("--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=")
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"],
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_both_sides_see_each_other(browser, lab):
    page, slider = shown(browser, lab)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.locator(".moving label", has_text="α = 0.251").wait_for(timeout=30_000)
    run(page, 1)
    page.get_by_text("the rate is 0.251", exact=True).wait_for(timeout=30_000)

    run(page, 2)
    label = page.locator(".moving label", has_text="α = 0.8")
    label.wait_for(timeout=30_000)
    assert slider.get_attribute("aria-valuetext") == "α = 0.8"
    page.context.close()


def shown(browser, lab):
    """Return a page with the notebook, whose first cell has shown the figure, and its slider."""
    for attempt in ATTEMPTS:
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.route("**/*", lambda asked: asked.continue_() if _near(asked, lab) else asked.abort())
        page.goto(f"{lab}/lab/tree/{attempt}.ipynb")
        page.locator(".jp-CodeCell .cm-content").first.wait_for(timeout=90_000)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
        slider = page.locator("input[name=alpha]")
        for _ in range(2):
            run(page, 0)
            with suppress(TimeoutError):
                slider.wait_for(timeout=30_000)
                return page, slider
        seen = page.locator(".jp-Notebook").inner_text()
        page.context.close()
    pytest.fail(f"In {len(ATTEMPTS)} notebooks, a minute each, there was no slider, but: {seen}")


def run(page, number):
    """Run a cell, by the menu: a shortcut is lost while the page still moves about."""
    page.locator(".jp-CodeCell .cm-content").nth(number).click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run Selected Cell", exact=False).first.click()


def _near(asked, address):
    local = (address, address.replace("http", "ws", 1), "data:", "blob:")
    return asked.request.url.startswith(local)
