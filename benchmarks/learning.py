"""The gradients that the figures learn by, in headless Chromium and by meta_lib: equal, then timed.

One iteration's gradient, in float64: MAML's on sinusoids (25 tasks of 10 shots, second order), the
contrastive loss's on 64 pairs, the LSTM's through 20 steps on 16 bowls. Then the seconds from the
button to the end of each figure's training, as a reader waits for it.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timing import arguments, head, row
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import chromium, press, show_figure, watched  # noqa: E402

from meta_lib import maml, moving, siamese  # noqa: E402
from meta_lib.lstm_optimizer import unroll  # noqa: E402
from meta_lib.moving import learn_plane, learn_rule, learn_waves, learning  # noqa: E402
from meta_lib.networks import flatten, forward  # noqa: E402
from meta_lib.tasks.optimizees import quadratics  # noqa: E402
from meta_lib.tasks.page_draws import PageGenerator  # noqa: E402
from meta_lib.tasks.sinusoids import sample_points, sample_waves  # noqa: E402

CALLS = 5
FILES = (
    "kit.js", "learning.js", "optimizers.js", "learn_maml.js", "learn_siamese.js", "learn_lstm.js",
)  # fmt: skip
OPEN = """async (text) => {
    window.page = await import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})));
}"""
TIME = """(calls) => {
    const once = (%s)(page);
    once(); // the engine has compiled it by then
    let found;
    const from = performance.now();
    for (let call = 0; call < calls; call += 1) found = once();
    return [(performance.now() - from) / calls, Array.from(found)];
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
    with chromium() as browser:
        page = watched(browser)
        page.evaluate(OPEN, f"{text}\nexport {{ random }};\nexport const {learners};")
        head("gradient", "relative difference", "meta_lib, ms", "Chromium, ms")
        for name, (ours, script) in cases.items():
            times = []
            for _ in range(CALLS):
                start = time.perf_counter()
                gradient = ours()
                times.append(time.perf_counter() - start)
            milliseconds, found = page.evaluate(TIME % script, CALLS)
            difference = ((torch.tensor(found) - gradient).norm() / gradient.norm()).item()
            if not difference < 1e-8:
                raise ArithmeticError(f"the gradients of {name} differ by {difference:.1e}")
            ours_ms = f"{1e3 * statistics.median(times):.1f}"
            row(name, f"{difference:.0e}", ours_ms, f"{milliseconds:.1f}")
        print()
        head("training", "iterations", "seconds")
        for name, figure in figures.items():
            row(name, figure.iterations, f"{whole_training(watched(browser), figure):.1f}")


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
