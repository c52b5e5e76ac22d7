"""Every figure of the book is walked: each control to both ends, each button, also while it plays.

Nothing may be cut, nothing may jump, no two texts and no curve may lie on a name at the start; in
Chinese no English may be left. The figures are those that the chapters store, so that nothing is
trained here.
"""

import functools
import json
from pathlib import Path

import pytest
import scripts
from browser import show_stored, watched
from catalogues import SCRIPTS, translations

from meta_lib.moving.stored import ENDING

FONT = "font: 16px/1.65 sans-serif"
BOOK = Path(__file__).parents[1] / "book"
# Part of what is walked is checked after each move, within the page: `settled` waits for drawings.
WALK = """async (at, { names, reset: resets, pause }) => {
    const english = (text) => text.match(/[A-Za-z0-9]*[A-Za-z]{2,}[A-Za-z0-9]*/g)
        ?.some((word) => !names.includes(word));
    // A text on the page as it is heard or seen: each piece by itself.
    const said = (root) => [root, ...root.querySelectorAll("*")].flatMap((one) => [
        ...["aria-label", "aria-valuetext"].map((name) => one !== root && one.getAttribute(name)),
        ...[...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data),
    ]).filter(Boolean);
    const settled = async () => {
        for (let i = 0; i < 2; i += 1) await new Promise(requestAnimationFrame);
    };
    const root = at.querySelector(".moving"), stage = at.querySelector(".moving-stage > svg");
    for (const folded of at.querySelectorAll("details")) folded.open = true;
    const readout = at.querySelector(".moving-readout"), faults = new Set();
    const height = root.getBoundingClientRect().height;
    const look = (when) => {
        const frame = stage.getBoundingClientRect();
        for (const text of stage.querySelectorAll("text")) {
            const box = text.getBoundingClientRect();
            const out = box.left < frame.left - 1 || box.right > frame.right + 1
                || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
            if (out && box.width) faults.add(`${when}: "${text.textContent}" is cut`);
            if (/NaN|undefined|e[+-]\\d|Infinity/.test(text.textContent)) {
                faults.add(`${when}: "${text.textContent}"`);
            }
        }
        for (const label of root.querySelectorAll("label")) {
            const cut = label.scrollWidth > label.clientWidth + 1;
            if (cut) faults.add(`${when}: the label "${label.textContent}" is cut`);
        }
        if (readout.scrollHeight > readout.clientHeight + 1) {
            faults.add(`${when}: no room for "${readout.textContent}"`);
        }
        if (names) {
            const left = said(root).filter(english);
            for (const text of left) faults.add(`${when}: "${text}" is English`);
        }
        const now = root.getBoundingClientRect().height;
        if (Math.abs(now - height) > 1) faults.add(`${when}: ${height} px become ${now}`);
    };
    const moves = [];
    for (const input of root.querySelectorAll("input, select")) {
        const to = (value) => {
            if (input.type === "checkbox") input.checked = value;
            else if (input.matches("select")) input.selectedIndex = value;
            else input.value = value;
            const kind = input.type === "range" ? "input" : "change";
            input.dispatchEvent(new Event(kind, { bubbles: true }));
        };
        const ends = input.type === "checkbox" ? [true, false]
            : input.matches("select") ? [...input.options].map((_, i) => i)
            : [() => input.min, () => input.max];
        const was = input.type === "checkbox" ? input.checked
            : input.matches("select") ? input.selectedIndex : input.value;
        for (const end of [...ends, was]) {
            const value = () => (typeof end === "function" ? end() : end);
            moves.push([`${input.name} at ${value()}`, () => to(value())]);
        }
    }
    const buttons = [...root.querySelectorAll("button")];
    const reset = buttons.find((one) => one.textContent === resets);
    const others = buttons.filter((one) => one !== reset);
    const walk = async (when) => {
        for (const [name, move] of moves) {
            move();
            await settled();
            look(`${when}${name}`);
        }
    };
    look("at the start");
    await walk("");
    reset.click();
    await settled();
    look("after Reset");
    for (const button of others) {
        const name = button.textContent;
        button.click();
        await settled();
        look(`after ${name}`);
        if (button.textContent === pause) {
            for (const [, move] of moves) move();
            await settled();
            look(`during ${name}`);
            reset.click();
            await settled();
            if (button.textContent !== name) faults.add(`Reset does not stop ${name}`);
        }
    }
    reset.click();
    await settled();
    look("at the end");
    return [...faults];
}"""
# At the start: texts that lie on each other, and curves that run through the name of a line.
CROWDED = """(at) => {
    const stage = at.querySelector(".moving-stage > svg"), faults = [];
    const apart = (a, b) => a.right < b.left + 2 || b.right < a.left + 2
        || a.bottom < b.top + 4 || b.bottom < a.top + 4;
    const texts = [...stage.querySelectorAll("text")].filter((one) => one.textContent.trim())
        .map((one) => [one, one.getBoundingClientRect()]);
    texts.forEach(([one, box], i) => texts.slice(i + 1).forEach(([other, its]) => {
        if (!apart(box, its)) faults.push(`"${one.textContent}" lies on "${other.textContent}"`);
    }));
    for (const curve of stage.querySelectorAll("[clip-path] path.line")) {
        if (!curve.getAttribute("d")) continue;
        const matrix = curve.getScreenCTM(), length = curve.getTotalLength();
        const name = curve.parentElement.getAttribute("clip-path").match(/#[^)"]+/)[0];
        const clip = stage.querySelector(`${name} rect`).getBBox();
        for (let i = 0; i <= 200; i += 1) {
            const point = curve.getPointAtLength((length * i) / 200);
            if (point.y < clip.y || point.y > clip.y + clip.height) continue;
            const { x, y } = point.matrixTransform(matrix);
            for (const [text, box] of texts) {
                const inside = x > box.left && x < box.right && y > box.top && y < box.bottom;
                if (inside && text.matches(".legend")) {
                    faults.push(`a curve runs through "${text.textContent}"`);
                }
            }
        }
    }
    return [...new Set(faults)];
}"""


@functools.cache
def figures():
    """Return the stored figures by the name of their module, the first of each."""
    found = {}
    for path in sorted(BOOK.rglob("*" + ENDING)):
        for figure in json.loads(path.read_text(encoding="utf-8")):
            found.setdefault(figure["state"]["name"], figure)
    return found


def words(name, language):
    """Return what the buttons say, and in Chinese the names that stay in Latin letters."""
    if language == "en":
        return {"names": None, "reset": "Reset", "pause": "Pause"}
    known, makers = translations(SCRIPTS), figures()[name]["state"].get("names", [])
    names = [*scripts.NAMES, *(maker for maker in makers if maker.istitle())]
    return {"names": names, "reset": known["Reset"], "pause": known["Pause"]}


@pytest.mark.parametrize("name", figures())
@pytest.mark.parametrize("width", [704, 358])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_cut_and_nothing_jumps(browser, name, width, language):
    page = watched(browser, width, reduced_motion="no-preference")
    page.set_viewport_size({"width": width, "height": 844})
    if language == "zh":
        page.add_init_script(scripts.script(translations(SCRIPTS)))
    figure = show_stored(page, figures()[name], style=f"margin: 0; {FONT}")
    crowded = figure.evaluate(CROWDED)
    faults = figure.evaluate(WALK, words(name, language))
    assert not crowded + faults
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not page.faults
    page.context.close()


@pytest.mark.parametrize("name", figures())
def test_a_phone_shows_the_drawing_above_its_controls(browser, name):
    page = watched(browser, 390, has_touch=True)
    page.set_viewport_size({"width": 390, "height": 844})
    figure = show_stored(page, figures()[name], style=f"margin: 0 16px; {FONT}")
    stage = figure.locator(".moving-stage").bounding_box()
    controls = figure.locator(".moving-controls").bounding_box()
    assert stage["y"] + stage["height"] <= controls["y"] + 1
    assert controls["y"] + controls["height"] - stage["y"] <= 844
    page.context.close()
