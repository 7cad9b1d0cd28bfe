"""Plan a run, sample, score, and write its record.

The stages are the folders, in this order: records/, planning/, sampling/, scoring/, engines/ (found
at run time); run.py calls them. A stage may import those before it.

May import: generators, protocols, metrics, features, data, io, statistics, api, _util.

Public names, by file:

    cache_upkeep: places, remove, verify, waste
    export_samples: export, samples_of
    extend: longer, take_over
    finished_run: gathered, measure_of, real_rows
    merge_shards: merged
    planning.plan: settle
    planning.request: Request
    planning.shard_outputs: one_repeat, probe_name, probes_of, reach, width_of
    planning.suite: read
    records.comparability: BOUGHT, apart, interval_of, one_ruler, otherwise, pairing, short,
        treatment, treatment_digest
    records.find: find
    records.record: Plan, RATERS, Record, Score, content_of, lacking, plan_of, read, write
    reproduce: Wish, reproduced
    run: evaluate, execute, failed, share
    sampling.cost: process_began
    sampling.read_shards: Drawn, gather, images_at
    sampling.setup: constructed, deterministic
    sampling.shards: labels_for, run_blocks, shards_of
    scoring.prepare_inputs: Given, given_of
    time_profile: text
"""
