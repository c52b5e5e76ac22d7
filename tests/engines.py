"""The figures of the built book in two more engines, Firefox and WebKit: `make engines`.

Both are driven through what they bring themselves: Firefox by WebDriver BiDi, WebKitGTK (Safari's
engine) by its WebKitWebDriver. On Debian: `apt install firefox-esr webkit2gtk-driver xvfb`.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from itertools import count

import pytest
from browser import served
from test_built_book import HTML, report
from test_built_figures import PAGES
from websocket import create_connection

# Before anything else on a page: keep what goes wrong.
WATCH = b"""<script>
window.faults = [];
const fault = (...said) => faults.push(said.join(" "));
addEventListener("error", ({ message, target }) => fault(message ?? "failed", target.src), true);
addEventListener("unhandledrejection", ({ reason }) => fault(reason));
console.error = fault;
</script>"""
# Move each slider to both of its ends and back; answer what each figure then showed, and what was
# wrong on the page.
MOVE = """async () => {
    const drawn = () => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 60));
    const ready = () => document.documentElement.dataset.moving === "ready";
    for (let wait = 0; wait < 1000 && !ready(); wait += 1) await drawn();
    const looks = (at) => [at.querySelector(".moving-stage").innerHTML,
        at.querySelector(".moving-readout").textContent,
        ...Array.from(at.querySelectorAll("canvas"), (one) => one.toDataURL())].join();
    for (const folded of document.querySelectorAll(".moving details")) folded.open = true;
    const sliders = [];
    for (const figure of document.querySelectorAll(".moving-figure"))
        for (const slider of figure.querySelectorAll("input[type=range]")) {
            if (!slider.checkVisibility()) continue;
            const before = slider.value, seen = new Set(), said = [];
            for (const value of [slider.min, slider.max, before]) {
                slider.value = value;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
                await drawn();
                seen.add(looks(figure));
                said.push(figure.querySelector(".moving-readout").textContent);
            }
            sliders.push({ name: slider.name, moved: seen.size > 1, said });
        }
    return JSON.stringify({ sliders, faults,
        stored: document.querySelectorAll(".moving-output > script").length,
        figures: document.querySelectorAll(".moving-figure").length });
}"""


class Firefox:
    """Firefox, by WebDriver BiDi."""

    def __init__(self, address):
        self.socket = create_connection(f"{address}/session", suppress_origin=True)
        self.numbers = count()
        self.ask("session.new", capabilities={})
        self.tab = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method, **params):
        """Send a command and return its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    def run(self, address, function):
        """Open a page, call an asynchronous function there, and return its answer."""
        self.ask("browsingContext.navigate", context=self.tab, url=address, wait="complete")
        answer = self.ask(
            "script.evaluate",
            expression=f"({function})()",
            target={"context": self.tab},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return answer["result"]["value"]

    @classmethod
    @contextmanager
    def started(cls, folder):
        """Start it without a window, with an empty profile."""
        name = shutil.which("firefox-esr") or "firefox"
        options = ("--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0")
        log = folder / "log"
        with open(log, "w") as said, process([name, *options], stdout=said, stderr=said):
            found = soon(lambda: re.search(r"BiDi listening on (\S+)", log.read_text()))
            firefox = cls(found[1])
            yield firefox
            firefox.socket.close()


class WebKit:
    """WebKitGTK, by WebDriver."""

    def __init__(self, address):
        self.address = f"{address}/session"
        session = self.ask("", capabilities={})  # its own MiniBrowser
        self.address += f"/{session['sessionId']}"
        self.ask("/timeouts", script=300_000)

    def ask(self, what, **params):
        """Send a command and return its result."""
        request = urllib.request.Request(self.address + what, json.dumps(params).encode())
        with urllib.request.urlopen(request, timeout=400) as answer:
            return json.load(answer)["value"]

    def run(self, address, function):
        """Open a page, call an asynchronous function there, and return its answer."""
        self.ask("/url", url=address)
        script = f"({function})().then(arguments[arguments.length - 1])"
        return self.ask("/execute/async", script=script, args=[])

    @classmethod
    @contextmanager
    def started(cls, folder):
        """Start it with a screen that nobody sees."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        with process(["xvfb-run", "--auto-servernum", "WebKitWebDriver", f"--port={port}"]):
            soon(lambda: answers(address))
            yield cls(address)


def answers(address):
    """Tell whether a server answers."""
    try:
        urllib.request.urlopen(f"{address}/status", timeout=5).close()
    except OSError:
        return False
    return True


def soon(look):
    """Look until there is something, for a minute at most, and return it."""
    for _ in range(600):
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not start")


@contextmanager
def process(command, **options):
    """Run a program, and end it with all that it has started."""
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not installed", pytrace=False)
    running = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield running
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(timeout=20)


@pytest.fixture(scope="module", params=[Firefox, WebKit])
def engine(request, tmp_path_factory):
    """Start an engine for all pages."""
    with request.param.started(tmp_path_factory.mktemp("profile")) as engine:
        yield engine


@pytest.fixture(scope="module")
def address():
    """Serve the book."""
    with served(HTML, WATCH) as here:
        yield here


@pytest.mark.parametrize("page", PAGES)
def test_every_slider_moves_its_figure(engine, address, page):
    """To both ends, without an error, and what is said is a sentence with numbers."""
    told = json.loads(engine.run(f"{address}/{page}", MOVE))
    report(told["faults"], page)
    assert told["figures"] == told["stored"] > 0
    assert told["sliders"]
    for slider in told["sliders"]:
        assert slider["moved"], f"{page}: {slider['name']}"
        for said in slider["said"]:
            assert said and not re.search(r"NaN|undefined|\[object", said), f"{page}: {said}"
