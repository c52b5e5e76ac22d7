"""The gradients that the figures learn by, in two browsers and by meta_lib: equal, then timed.

One iteration's gradient, in float64: MAML's on sinusoids (25 tasks of 10 shots, second order), the
contrastive loss's on 64 pairs, the LSTM's through 20 steps on 16 bowls; without Firefox where there
is none. Then the seconds from the button to the end of each figure's training in headless Chromium,
as a reader waits for it.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from timing import arguments, head, row
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import chromium, press, served, show_figure, watched  # noqa: E402
from engines import Firefox  # noqa: E402

from meta_lib import maml, moving, siamese  # noqa: E402
from meta_lib.lstm_optimizer import unroll  # noqa: E402
from meta_lib.moving import learn_plane, learn_rule, learn_waves, learning  # noqa: E402
from meta_lib.networks import flatten, forward  # noqa: E402
from meta_lib.tasks.optimizees import quadratics  # noqa: E402
from meta_lib.tasks.page_draws import PageGenerator  # noqa: E402
from meta_lib.tasks.sinusoids import sample_points, sample_waves  # noqa: E402

CALLS, WARM = 20, 20  # engines compile what has run for a while
HTML, PAGE = ROOT / "_build" / "html", "book/chapter-times.html"  # a page without figures
FILES = (
    "kit.js", "learning.js", "optimizers.js", "learn_maml.js", "learn_siamese.js", "learn_lstm.js",
)  # fmt: skip
TIME = """async () => {
    const text = new Blob([%s], { type: "text/javascript" });
    const once = (%s)(await import(URL.createObjectURL(text))), times = [];
    let found;
    for (let call = 0; call < %d; call += 1) {
        const from = performance.now();
        found = once();
        times.push(performance.now() - from);
    }
    return JSON.stringify([times, Array.from(found)]);
}"""
MAML = """({ random, waves }) => {
    const { uniform } = random(0), phi = waves.firstWeights(uniform);
    const tasks = waves.sample(uniform, 10), alpha = 0.01, steps = %d, algorithm = "MAML";
    return () => waves.metaGradient(phi, tasks, { alpha, steps, algorithm }).gradient;
}"""
SIAMESE = """({ random, plane }) => {
    const { PAIRS, PIXELS, FAMILIAR, SIZE } = plane, { uniform } = random(0);
    const phi = plane.firstWeights(uniform), ink = plane.characters(0, FAMILIAR);
    const room = new Float64Array(2 * PAIRS * PIXELS), gradient = new Float64Array(SIZE);
    const images = plane.samplePairs(uniform, PAIRS / 2, ink, room), kept = plane.room(2 * PAIRS);
    return () => {
        const how = { margin: 1, measure: "Euclidean" };
        plane.pairLoss(phi, images, PAIRS / 2, how, kept, gradient);
        return gradient;
    };
}"""
LSTM = """({ random, rules }) => {
    const { uniform, normal } = random(0), phi = rules.firstWeights(uniform, 8);
    const batch = rules.sample(normal), at = rules.memory(batch.theta.length, 8, 20);
    return () => {
        const theta = batch.theta.slice();
        rules.forget(at);
        rules.losses(batch, theta, at.slopes[0]);
        return rules.piece(phi, batch, theta, at).gradient;
    };
}"""


def of_maml(steps: int) -> Callable[[], Tensor]:
    """Return what computes the meta-gradient that MAML's figure follows first."""
    generator = PageGenerator(0)
    phi = learn_waves.first_weights(generator)
    tasks = sample_points(sample_waves(25, generator), 10, 10, generator)
    return lambda: flatten(maml.meta_gradient(learn_waves.LOSS, phi, tasks, 0.01, steps)[0])


def of_siamese() -> Callable[[], Tensor]:
    """Return what computes the gradient that the Siamese figure follows first."""
    generator, familiar = PageGenerator(0), learn_plane.characters()[0]
    phi = learning.first_weights(learn_plane.LIKE, generator)
    weights = [weight.requires_grad_() for weight in phi.values()]
    pairs = siamese.sample_pairs(familiar, learn_plane.PAIRS, generator)

    def gradient() -> Tensor:
        features = forward(learn_plane.NETWORK, phi, torch.cat([pairs.x1, pairs.x2])).chunk(2)
        distance = siamese.euclidean_distance(*features)
        loss = siamese.contrastive_loss(distance, pairs.different).mean()
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])

    return gradient


def of_lstm() -> Callable[[], Tensor]:
    """Return what computes the gradient that the LSTM's figure follows first."""
    generator = PageGenerator(0)
    rule = learn_rule.first_rule(8, generator)
    bowls, theta = quadratics(learn_rule.TASKS, generator)
    weights = list(rule.parameters())

    def gradient() -> Tensor:
        moments = unroll(rule, bowls, theta, 20)
        loss = torch.stack([moment.losses for moment in moments[1:]]).mean()
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)])

    return gradient


def main() -> None:
    """Print one row for each gradient, and fail if two differ; then one for each training."""
    arguments(__doc__)
    torch.set_default_dtype(torch.float64)
    cases = {
        "MAML, 1 step": (of_maml(1), MAML % 1), "MAML, 5 steps": (of_maml(5), MAML % 5),
        "Siamese": (of_siamese(), SIAMESE), "LSTM": (of_lstm(), LSTM),
    }  # fmt: skip
    figures = {
        "MAML, 1 step": learn_waves.LearnWaves(), "Siamese": learn_plane.LearnPlane(),
        "LSTM": learn_rule.LearnRule(),
    }  # fmt: skip
    text = "\n".join((moving.FOLDER / name).read_text(encoding="utf-8") for name in FILES)
    learners = "waves = learnMaml(), plane = learnSiamese(), rules = learnLstm()"
    program = json.dumps(f"{text}\nexport {{ random }};\nexport const {learners};")
    with served(HTML) as address, chromium() as browser, firefox(address) as ask_firefox:
        page = watched(browser)
        page.goto(f"{address}/{PAGE}")
        engines = {"Chromium": page.evaluate, "Firefox": ask_firefox}
        columns = (f"{engine}, ms" for engine in engines)
        head("gradient", "relative difference", "meta_lib, ms", *columns)
        for name, (ours, script) in cases.items():
            gradient, *times = ours(), milliseconds(ours)
            differences = []
            for ask in filter(None, engines.values()):
                taken, found = json.loads(ask(TIME % (program, script, WARM + CALLS)))
                times.append(statistics.median(taken[WARM:]))
                distance = (torch.tensor(found, device=gradient.device) - gradient).norm()
                differences.append((distance / gradient.norm()).item())
            if not max(differences) < 1e-8:
                raise ArithmeticError(f"the gradients of {name} differ by {max(differences):.1e}")
            missing = ["–"] * (len(engines) - len(differences))
            row(name, f"{max(differences):.0e}", *(f"{each:.1f}" for each in times), *missing)
        print()
        head("training", "iterations", "seconds")
        for name, figure in figures.items():
            row(name, figure.iterations, f"{whole_training(watched(browser), figure):.1f}")


def milliseconds(once: Callable[[], object]) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        once()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


@contextmanager
def firefox(address: str) -> Iterator[Callable[[str], str] | None]:
    """Give what runs a function in Firefox, on a page of the book, or None where there is none."""
    if not (shutil.which("firefox-esr") or shutil.which("firefox")):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, Firefox.started(Path(folder)) as started:
        yield lambda function: started.run(f"{address}/{PAGE}", function)


def whole_training(page, widget) -> float:
    """Return the seconds from the button to the last iteration."""
    figure, count = show_figure(page, widget), widget.iterations
    start = time.perf_counter()
    press(figure, "Learn")
    done = figure.locator(".moving-readout", has_text=f"Iteration {count} of {count}")
    done.wait_for(timeout=300_000)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
