"""One set of controls for all that learns on a page.

Part 5, "Watch them learn".
"""

import traitlets
from matplotlib.figure import Figure

from meta_lib.figures import learning as pictures
from meta_lib.moving import MovingFigure, learn_plane, learn_rule, learn_waves


class Together(MovingFigure):
    """The trainings of `LearnPlane`, `LearnWaves` and `LearnRule` that stand on the same page.

    `alpha`, `beta` and `shots` are set in each of them that has one.
    """

    shared = ("alpha", "beta", "shots")
    alpha = traitlets.Float(0.01, min=0).tag(sync=True)
    beta = traitlets.Float(0.02, min=0).tag(sync=True)
    shots = traitlets.Int(5, min=1, max=5).tag(sync=True)

    def still(self) -> Figure:
        """Return the losses of twenty iterations of each."""
        return pictures.together(
            {
                "Siamese": learn_plane.train(beta=self.beta, iterations=20)[1],
                "MAML": learn_waves.train(self.alpha, self.beta, self.shots, iterations=20)[1],
                "LSTM": learn_rule.train(beta=self.beta, iterations=20)[1],
            }
        )
