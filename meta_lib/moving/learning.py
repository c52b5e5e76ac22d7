"""What the figures that learn in the page have in common, in Python: their first weights.

Part 3, "MAML", section "Watch it learn".
"""

import math

from meta_lib.networks import Parameters
from meta_lib.tasks.draws import uniform
from meta_lib.tasks.page_draws import PageGenerator


def first_weights(like: Parameters, generator: PageGenerator) -> Parameters:
    """Return random weights with the names and shapes of `like`, as the page draws them.

    `like` are the weights of linear layers, each followed by its biases: both lie within
    ± 1 / √inputs of their layer, as torch has it.
    """
    phi, most = {}, 1.0
    for name, weight in like.items():
        if name.endswith("weight"):
            most = 1 / math.sqrt(weight.shape[1])
        phi[name] = uniform(*weight.shape, low=-most, high=most, generator=generator)
    return phi
