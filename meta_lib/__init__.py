"""The library of the book: tasks to learn from, ways to learn to learn, and what they share.

    tasks/              what is learned from: sinusoids, quadratics, bandits, image sets
    siamese, prototypes  a learned metric          (part 3, "Siamese networks")
    maml                a learned initialisation  (part 3, "MAML")
    lstm_optimizer      a learned update rule     (part 3, "The LSTM optimizer")
    baselines           hand-made update rules    (part 3, "The LSTM optimizer")
    recurrent_policy    a learned way to explore  (part 2)
    networks, layers                    the networks
    stacks, chunks                      many tasks at once, or a few at a time
    training, runs, distributed         one loop; how it is stopped and goes on, and is shared out
    learners, commands                  the command line
    evaluation, device, checks          what all share
    figures/, moving/                   what is looked at; what moves

Imports run one way: algorithms import what they share, and never one another.
"""
