"""What the scripts of a page say in another language: which texts are taken, how one is found."""

import pytest
import scripts
from catalogues import SCRIPTS, read, translations, wanting

WORDS = {
    "Learn": "学习",
    "steps": "步数",
    "loss": "损失",
    "turned by up to": "最多转动",
    "random start": "随机起点",
    "mean reward": "平均奖励",
    "Press Learn. Then wait.": "按“学习”，然后等待。",
    "turned by {0}°": "转 {0}°",
    "{0} shot{1}": "{0} 样本",
    "{0} step{1}": "{0} 步",
    "Iteration {0} of {1}{2}.": "第 {0} 次迭代，共 {1}{2}。",
    "Iteration {0} of {1} of {2}{3}.": "第 {0} 次迭代，共 {1}，{2}{3}。",
    ": loss {0}, the mean of ten": "：损失 {0}，十次的平均",
    "{0} diverged at step {1}{2}": "{0} 在第 {1} 步发散{2}",
    "(α = {0} overshoots)": "（α = {0} 冲过头）",
    "Loss: {0}.": "损失：{0}。",
    "{0} is at step {1}": "{0} 走到第 {1} 步",
    "from {0} each": "每个 {0}",
}
SAID = {
    "0.25": "0.25",
    "MAML": "MAML",
    "A 0.7, B (1, 2)": "A 0.7，B (1, 2)",
    "Learn": "学习",
    "Press Learn. Then wait.": "按“学习”，然后等待。",
    "steps = 5": "步数 = 5",
    "turned by up to = 30°": "最多转动 = 30°",
    "1 shot": "1 样本",
    "5 shots": "5 样本",
    "Iteration 3 of 100.": "第 3 次迭代，共 100。",
    "Iteration 3 of 100: loss 0.2, the mean of ten.": "第 3 次迭代，共 100：损失 0.2，十次的平均。",
    "Iteration 3 of 100 of MAML: loss 0.2, the mean of ten.": (
        "第 3 次迭代，共 100，MAML：损失 0.2，十次的平均。"
    ),
    # A list, of which an entry has a bracket; two sentences, and one that is not known.
    "Loss: MAML 0.1, random start diverged at step 3 (α = 2 overshoots).": (
        "损失：MAML 0.1，随机起点在第 3 步发散（α = 2 冲过头）。"
    ),
    "Loss: MAML is at step 1, SGD is at step 2.": "损失：MAML 走到第 1 步，SGD 走到第 2 步。",
    "Loss: 0.1. Iteration 3 of 100. Who knows.": "损失：0.1。第 3 次迭代，共 100。Who knows。",
    "Loss: (0.1, 0.2).": "损失：(0.1, 0.2)。",
    "from random start each": "每个随机起点",
    "constructor": "constructor",
}
SCRIPT = """
const KINDS = { learned: "c1 thick", rival: "c2" }; // "no text" in a comment
const cut = (text) => text.replace(/"[^"]*"/g, "");
svg("text", { class: "title" }, stage.back, "the wave");
const names = [["c1", "gates"], ["c4 dashed", "gradient descent"]];
const of = ["alpha", "steps"].map((name) => model.get(name));
slider("steps", "inner steps", { min: 0, max: 8 });
button("Another random start", () => change(model, { seed: 1 }));
if (end === "far") words.push(`${n} step${n === 1 ? "" : "s"}: ${far ? "too far" : ""}.`);
axes({ title: `First ${many(games, "game")}. Then ${rest}.`, ylabel: "loss" });
return `It reaches ${at}, ` +
  `and ${next}.`;
"""
TAKEN = [
    "the wave", "gates", "gradient descent", "inner steps", "Another random start",
    "{0} step{1}: {2}.", "too far", "First {0}.", "Then {0}.", "{0} game{1}", "game", "loss",
    "It reaches {0}, and {1}.",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.evaluate(scripts.script(WORDS))
    yield page
    page.close()


@pytest.mark.parametrize("text", SAID)
def test_a_text_is_said_in_another_language(page, text):
    assert page.evaluate("inThisLanguage", text) == SAID[text]


def test_what_is_taken_of_a_script_is_what_a_page_shows():
    found = list(scripts.patterns(SCRIPT))
    assert sorted(found) == sorted(TAKEN)


def test_all_that_the_scripts_say_is_translated():
    assert not wanting(SCRIPTS), "python book/_translated/catalogues.py lists them"
    assert set(translations(SCRIPTS)) == set(scripts.template(read(SCRIPTS))), "one is obsolete"
