"""Load one generator and call its hooks.

Description, options, loading, checked calls, identity, seeded noise, the conformance checks, and
training/ (`genbench train`).

May import: protocols, metrics, features, data, io, statistics, api, _util.

Public names, by file:

    conditions: Wish, conditions
    conformance: check, check_plugin
    description: Description, HELD, describe, in_memory, name_of
    generator: Generator, PER_CALL, construct
    identity: code_of, code_of_file, held_of, seal_of
    latent_paths: point
    load: checkpoint_of, device_of, locate, options_of, usual_of
    options: chosen, plain
    reconstruct: reconstruct
    seeded_noise: LARGEST_N, LARGEST_SEED, first_seed, labels_of, noise, uniform
    training.long_tail_sampling: Tail
    training.train: Training, train
"""
