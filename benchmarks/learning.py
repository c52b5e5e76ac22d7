"""MAML's meta-gradient in the page, in headless Chromium, beside meta_lib: equal, then timed.

Sinusoids, 1-40-40-1, 25 tasks of 10 shots, second order, both in float64. Then the seconds of a
whole training of 1,000 iterations in the page's worker, as a reader would wait for it.
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from timing import arguments, head, in_turns, row

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import chromium, show_figure, watched  # noqa: E402

from meta_lib import maml  # noqa: E402
from meta_lib.moving import learn_waves  # noqa: E402
from meta_lib.networks import flatten  # noqa: E402
from meta_lib.tasks.page_draws import PageGenerator  # noqa: E402
from meta_lib.tasks.sinusoids import sample_points, sample_waves  # noqa: E402

ONE = """(at, [settings, calls]) => {
    const { random, firstWeights, sample, metaGradient } = at.module;
    const { uniform } = random(0), phi = firstWeights(uniform), tasks = sample(uniform, 10);
    let found;
    const from = performance.now();
    for (let call = 0; call < calls; call += 1) found = metaGradient(phi, tasks, settings);
    const milliseconds = (performance.now() - from) / calls;
    return { milliseconds, gradient: Array.from(found.gradient) };
}"""


def main() -> None:
    """Print one row for each number of inner steps, and fail if the gradients differ."""
    asked = arguments(__doc__)
    torch.set_default_dtype(torch.float64)
    head("steps", "relative difference", "meta_lib, ms", "Chromium, ms", "1,000 iterations, s")
    with chromium() as browser:
        for steps in (1, 5):
            generator = PageGenerator(0)
            phi = learn_waves.first_weights(generator)
            tasks = sample_points(sample_waves(25, generator), 10, 10, generator)
            settings = {"alpha": 0.01, "steps": steps, "algorithm": "MAML"}
            figure = show_figure(watched(browser), learn_waves.LearnWaves(steps=steps))
            figure.evaluate(ONE, [settings, 20])  # the engine has compiled it by then

            def ours(phi=phi, tasks=tasks, steps=steps):
                return maml.meta_gradient(learn_waves.LOSS, phi, tasks, 0.01, steps)[0]

            times = []

            def theirs(figure=figure, settings=settings, times=times):
                found = figure.evaluate(ONE, [settings, 20])
                times.append(found["milliseconds"])
                return torch.tensor(found["gradient"])

            first, other = flatten(ours()), theirs()
            difference = ((first - other).norm() / first.norm()).item()
            if not difference < 1e-10:
                raise ArithmeticError(f"the gradients differ by {difference:.1e}")
            mean = in_turns({"meta_lib": ours, "page": theirs}, asked.seconds)["meta_lib"]
            page, whole = statistics.median(times), whole_training(figure)
            row(steps, f"{difference:.0e}", f"{1e3 * mean:.1f}", f"{page:.1f}", f"{whole:.1f}")


def whole_training(figure) -> float:
    """Return the seconds from the button to the last iteration."""
    start = time.perf_counter()
    figure.get_by_role("button", name="Learn", exact=True).click()
    done = figure.locator(".moving-readout", has_text="Iteration 1000 of 1000")
    done.wait_for(timeout=300_000)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
