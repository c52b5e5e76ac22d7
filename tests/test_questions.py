"""The questions of the chapters: their form, and what a page makes of them."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
import questions
from test_notebooks import CHAPTERS, ROOT, report, tags

FEWEST = 3
CHOICE = """**Question.** How many *labels* make the error $\\varepsilon$ half as large?

- twice as many
- about three times as many
- ten times as many

<details><summary>Answer</summary>

- **twice as many: no.** That would be $b = 1$.
- **about three times as many: yes.** $2^{1/b}$ is 3.3.
- **ten times as many: no.** That would be $b = 0.3$, and it takes a long line to say why not: \
the slope of the line is the exponent.

</details>"""
NUMBER = """**Question.** How many are left at 30°?

A number, in per cent.

<details><summary>Answer</summary>

- **−5 to 53.5: yes.** It is 43.
- **less: no.** Some are left.
- **more: no.** It turns far.

</details>"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_questions_have_their_form(name):
    """What looks like a question has the tag, what has the tag is one; a chapter has none or 3."""
    cells = nbformat.read(ROOT / name, as_version=4).cells
    tagged = {i for i, cell in enumerate(cells) if "question" in tags(cell)}
    looking = {i for i, cell in enumerate(cells) if "**Question.**" in cell.source}
    assert tagged == looking
    faults = []
    for i in tagged:
        try:
            questions.parse(cells[i].source)
        except ValueError as error:
            faults.append(f"cell {i}: {error}")
    report(faults, "questions")
    assert not tagged or len(tagged) >= FEWEST


def test_a_question_is_read():
    text, choices, reasons = questions.parse(CHOICE)
    assert text.startswith("How many") and len(choices) == 3 and list(reasons) == choices
    assert [right for right, _ in reasons.values()] == [False, True, False]
    assert questions.parse(NUMBER).choices == []


@pytest.mark.parametrize(
    ("source", "before", "after", "said"),
    [
        (CHOICE, "as many: yes", "as many: no", "one answer must be right"),
        (CHOICE, "- twice as many", "- twice", "must be the answers"),
        (CHOICE, "- **twice", "**twice", "form"),
        (CHOICE, "**Question.** ", "", "form"),
        (NUMBER, "−5 to 53.5", "53.5 to −5", "smaller"),
        (NUMBER, "less: no", "fewer: no", "LOW to HIGH"),
    ],
)
def test_another_form_is_refused(source, before, after, said):
    assert before in source
    with pytest.raises(ValueError, match=said):
        questions.parse(source.replace(before, after))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Build a page of the two questions, and nothing of the theme."""
    folder = tmp_path_factory.mktemp("questions")
    cells = [
        nbformat.v4.new_markdown_cell("# Two questions"),
        nbformat.v4.new_markdown_cell(CHOICE, metadata={"tags": ["question"]}),
        nbformat.v4.new_markdown_cell(NUMBER, metadata={"tags": ["question"]}),
        nbformat.v4.new_markdown_cell("The end."),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    (folder / "index.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.append({str(ROOT / 'book/_extensions')!r})\n"
        'extensions = ["myst_nb", "questions"]\nnb_execution_mode = "off"\n'
        'myst_enable_extensions = ["dollarmath"]\nhtml_theme = "basic"\n'
        f"html_static_path = [{str(ROOT / 'book/_assets')!r}]\n"
        'mathjax_path = "none.js"\nlanguage = "en"\n',
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", folder, folder / "html"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    html = folder / "html/index.html"
    # No formulas here: their script would come from elsewhere.
    html.write_text(re.sub(r"<script[^>]*none\.js\W+/script>", "", html.read_text("utf-8")))
    return html.as_uri()


@pytest.fixture
def forms(tab, page):
    """Open the page from the file system and return its two forms."""
    tab.goto(page)
    return tab.locator(".question").all()


def test_a_choice_is_answered_at_once_with_its_own_reason(forms):
    form, _ = forms
    group = form.get_by_role("group", name="How many labels make")
    said = form.locator("[aria-live=polite]")
    assert "half as large" in group.locator("legend").inner_text()
    for choice, word in (("twice", "would be"), ("about three", "is 3.3"), ("ten", "long line")):
        group.get_by_role("radio", name=choice).check()
        assert said.inner_text().startswith(choice) and word in said.inner_text()
        assert said.get_attribute("data-verdict") == ("yes" if choice == "about three" else "no")


def test_the_keyboard_goes_to_a_choice_without_choosing_it(tab, forms):
    form, _ = forms
    radios = form.get_by_role("radio")
    radios.first.focus()
    tab.keyboard.press("ArrowUp")
    assert radios.last.evaluate("(one) => one === document.activeElement")
    assert not any(radio.is_checked() for radio in radios.all())
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Enter")
    assert radios.nth(1).is_checked()
    assert "3.3" in form.locator("[aria-live]").inner_text()
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Space")
    assert radios.first.is_checked()


@pytest.mark.parametrize(
    ("guess", "verdict", "said"),
    [("43", "yes", "It is 43"), ("-5", "yes", "is 43"), ("-6", "no", "Some"), ("54", "no", "far")],
)
def test_a_number_is_compared_with_the_range(tab, forms, guess, verdict, said):
    _, form = forms
    field = form.get_by_role("spinbutton", name="A number, in per cent.")
    field.fill(guess)
    tab.keyboard.press("Enter")
    answer = form.locator("[aria-live]")
    assert said in answer.inner_text() and answer.get_attribute("data-verdict") == verdict


def test_an_empty_number_is_not_answered(forms):
    _, form = forms
    form.get_by_role("button", name="Check").click()
    assert form.locator("[aria-live]").get_attribute("data-verdict") is None


@pytest.mark.parametrize("width", [360, 1000])
def test_no_answer_moves_the_page(tab, forms, width):
    tab.set_viewport_size({"width": width, "height": 900})
    height = "document.documentElement.scrollHeight"
    before = tab.evaluate(height)
    for radio in forms[0].get_by_role("radio").all():
        radio.check()
        assert tab.evaluate(height) == before
    wide = "(one) => one.scrollWidth > one.clientWidth"
    assert not any(form.evaluate(wide) for form in forms)


def test_on_paper_and_without_scripts_it_is_text(tab, browser, forms, page):
    def texts_shown(tab):
        return [one.is_visible() for one in tab.locator(".question > p, .question > ul").all()]

    assert not any(texts_shown(tab)) and tab.locator("form").first.is_visible()
    tab.emulate_media(media="print")
    assert all(texts_shown(tab)) and not tab.locator("form").first.is_visible()
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(page)
    assert all(texts_shown(plain)) and plain.locator("details").first.is_visible()
    plain.context.close()
