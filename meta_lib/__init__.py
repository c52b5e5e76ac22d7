"""The library of the book: tasks to learn from, ways to learn to learn, and what they share.

    siamese, all_pairs, prototypes    a learned metric          (part 3, "Siamese networks")
    maml, inner_rules                 a learned initialisation  (part 3, "MAML")
    lstm_optimizer, gated_optimizer   a learned update rule     (part 3, "The LSTM optimizer")
    torch_optimizer                   … in the place of torch's own
    recurrent_policy                  a learned way to explore  (part 2)
    networks, training                the networks, and the one training loop
    evaluation, confidence, results   how good, how sure, and what the recorded runs say
    tasks/                            what is learned from: waves, quadratics, bandits, image sets
    rivals/                           what learning to learn has to beat
    figures/, moving/                 what is looked at; what moves
    machinery/                        fast, restartable, shared out, checked: no chapter needs it
    command_line/                     python -m meta_lib

Imports run one way: algorithms import what they share, and not one another:
only `gated_optimizer` unrolls, and prepares gradients, as `lstm_optimizer` does.
"""
