"""The words of the pages' scripts: of the figures that move, the questions, the folded code.

A message is what a script has between quotes, one sentence of it, with {0}, {1} … for what varies:
`${count} steps at α = ${alpha}` is the message "{0} steps at α = {1}". What varies may be a message
itself. In the page `words.js` finds a text by these patterns, and says it in the page's language.

A script does not say which of its texts is shown and which is the name of a class, an event or a
trait: here a rule guesses, by what stands beside it. A word that it misses is put into the
catalogue by hand, and stays as long as it stands in a script; tests/test_moving_walk.py finds it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog

from meta_lib.moving import FOLDER
from meta_lib.moving.stored import ENDING

BOOK = Path(__file__).parents[1]
ASSETS = BOOK / "_assets"
WORDS = Path(__file__).with_name("words.js")
HOLE = re.compile(r"\{\d+\}")
# Between two sentences; words.js cuts what it hears at the same places.
SENTENCES = re.compile(r"(?<=[.!?]) (?=[^a-z])")
TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)|"(?P<text>(?:[^\\"]|\\.)*)"|(?P<tick>`)"""
    r"""|(?P<name>[A-Za-z_$][\w$]*|\d[\w.]*)|(?P<sign>===|!==|=>|\+=|\?\.|\?\?|.)""",
    re.DOTALL,
)
REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\[\n])+/\w*")
# What a figure's lines, dots and texts are called as classes, and what markup has as values.
LOOKS = set(
    "c1 c2 c3 c4 c5 c6 grey thin thick dashed dotted dashdot faint line dot band wrong small title "
    "halo cell chosen moving asks end start middle none true any yes no polite ready train smooth "
    "instant light pointercancel text/html".split()
)
# A path, an address within a page, an argument of a program.
CODE = re.compile(
    r"^[A-Z]+$|^[ML]0|^[a-z]+-0|^0-[a-z]|^aria-|_|[{<#]|: var|^function|^[a-z]+\(|\d(ch|em|px)$|^\."
)
# A name is a name in any language.
NAMES = {"SGD", "RMSprop", "Adam", "LSTM", "MAML", "ANIL", "Reptile", "UCB1", "UCB", "cos"}
TRAITS = {"right", "mean", "sizes", "theta"}
# A first argument names something, but in these functions it is said.
SAY = {"here", "say", "button", "writer", "training", "push"}
UNREAD = {"class", "style", "role", "type", "kind", "className", "text-anchor", "pointer-events"}
# These show nothing but what the others say.
SILENT = {"host.js", "hand_network.js", "optimizers.js", WORDS.name}


def patterns(script: str) -> Iterator[str]:
    """Yield the messages of a script, in its order; some of them more than once."""
    yield from _chosen(_read(script, 0)[0])


def sources() -> list[Path]:
    """Return the scripts that say something on a page."""
    found = [*FOLDER.glob("*.js"), *ASSETS.glob("*.js")]
    return sorted(path for path in found if path.name not in SILENT)


def named() -> Iterator[str]:
    """Yield the names that the stored figures have in their states: of methods, of readers."""
    for path in sorted(BOOK.rglob("*" + ENDING)):
        for figure in json.loads(path.read_text(encoding="utf-8")):
            for name in ("readers", "learners", "names", "labels"):
                yield from _strings(figure["state"].get(name))


def all_messages() -> list[str]:
    """Return all messages, each once."""
    found = [one for path in sources() for one in patterns(path.read_text(encoding="utf-8"))]
    found += [name for name in named() if _has_words(name) and not name[0].isupper()]
    return list(dict.fromkeys(found))


def template(known: Catalog) -> list[str]:
    """Return the messages as they are now: the scripts' own, and words that were added by hand.

    These stay as long as they stand somewhere in the scripts, or in a figure's state.
    """
    texts = "\n".join([*(path.read_text(encoding="utf-8") for path in sources()), *named()])
    found, added = all_messages(), [one.id for one in known if one.id and not HOLE.search(one.id)]
    return found + [one for one in added if one not in found and one in texts]


def script(known: dict[str, str]) -> str:
    """Return the script of the pages in another language: its words, and what finds them."""
    words = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
    script = WORDS.read_text(encoding="utf-8").replace("WORDS_OF_THE_LANGUAGE", words)
    return re.sub(r"^ *(?://.*\n)?", "", script, flags=re.MULTILINE)  # each page loads it


def _has_words(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{2}", HOLE.sub("", text)))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _read(script: str, at: int, end: str = "") -> tuple[list, int]:
    """Return the tokens from a place on, up to a closing brace, and where that is.

    A token is (kind, text); of a template, the expressions in it stand behind it as "inside".
    """
    found: list = []
    depth = 0
    while at < len(script):
        match = TOKEN.match(script, at)
        assert match is not None
        sign, last = match["sign"], found[-1][1] if found else ""
        if sign == "/" and (last in (*"(,=:[!&|?{};", "=>", "return", "")) and not match["skip"]:
            at = REGEX.match(script, at).end()  # type: ignore[union-attr]
            found.append(("regex", ""))
            continue
        at = match.end()
        if match["skip"]:
            continue
        if match["text"] is not None:
            found.append(("text", match["text"]))
        elif match["tick"]:
            text, inside, at = _read_template(script, at)
            found += [("text", text), ("inside", inside)]
        elif match["name"]:
            found.append(("name", match["name"]))
        elif sign == end and depth == 0:
            return found, at
        else:
            depth += {"{": 1, "}": -1}.get(sign, 0)
            found.append(("sign", sign))
    return found, at


def _read_template(script: str, at: int) -> tuple[str, list, int]:
    text, inside = "", []
    while script[at] != "`":
        if script.startswith("${", at):
            more, at = _read(script, at + 2, "}")
            text += f"{{{len(inside)}}}"
            inside.append(more)
        else:
            size = 2 if script[at] == "\\" else 1
            text += script[at : at + size]
            at += size
    return text, inside, at + 1


def _chosen(tokens: list) -> Iterator[str]:
    """Yield the messages among the tokens, texts that are joined by + as one."""
    edge = [("sign", ";")] * 3
    plain = [*edge, *(one for one in tokens if one[0] != "inside"), *edge]
    for i, (kind, text) in enumerate(plain):
        if kind != "text" or (plain[i - 1][1] == "+" and plain[i - 2][0] == "text"):
            continue
        while plain[i + 1][1] == "+" and plain[i + 2][0] == "text":
            text += plain[i + 2][1]
            i += 2
        if _is_text(text, plain[i - 3 : i], [one for _, one in plain[i + 1 : i + 3]]):
            yield from _sentences(text)
    for i, (kind, inside) in enumerate(tokens):
        if kind == "inside":
            for more in inside:
                yield from _chosen(more)
        elif tokens[max(0, i - 2) : i] == [("name", "many"), ("sign", "(")]:
            counted = [one for of, one in tokens[i : i + 12] if of == "text"]
            yield from (f"{{0}} {one}{{1}}" for one in counted[:1])


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text in which something varies, else the text as a whole."""
    for sentence in SENTENCES.split(text) if HOLE.search(text) else [text]:
        pieces = HOLE.split(sentence)
        message = "".join(f"{piece}{{{i}}}" for i, piece in enumerate(pieces[:-1])) + pieces[-1]
        if _has_words(message):
            yield message.strip()


def _is_text(text: str, before: list, after: list[str]) -> bool:
    """Return whether a page shows a text, judged by the three tokens before and the two after it.

    What it does not show is the name of a trait, of a class, of an event.
    """
    bare = HOLE.sub("0", text)
    words = [word for word in HOLE.sub(" ", text).split() if _has_words(word)]
    last, second, third = ["", "", "", *(one for _, one in before)][:-4:-1]
    if all(word in LOOKS | NAMES | TRAITS for word in words) or CODE.search(bare):
        return False
    if [last, second, third] == [",", "model", "("]:
        return False
    if last in ("===", "!==") or after[0] in ("===", "!==") or (after[0] == ":" and last in "{,"):
        return False
    if (last == "(" and second and second not in SAY) or (last == ":" and second in UNREAD):
        return False
    if len(words) > 1 or HOLE.search(text):
        return True
    # One word: an argument behind others, a value, the second of a pair.
    of_text = len(before) > 1 and before[-2][0] == "text"
    look = of_text and all(word in LOOKS for word in second.split())
    pair = of_text and third == "[" and after[0] == "]" and after[1] != "."
    return (
        last in ("?", ":", "=>", "return")
        or (last == "," and (not of_text or look or pair or third == "("))
        or (last == "(" and second in SAY)
    )
