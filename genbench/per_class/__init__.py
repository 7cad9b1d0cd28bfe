"""Compute the numbers of every class: the long tail.

Per-class metrics with their intervals and exact tests, aggregates over classes, plots and tables
(`genbench classes`).

May import: runs, generators, protocols, metrics, features, data, io, statistics, api, _util.

Public names, by file:

    aggregates: WORST
    classification_accuracy_of_run: refuse, taught
    compute_from_run: heading, leave, refuse, table_of
    record_scores: with_classes
    render: as_rows, as_text
    table: ORDERS
"""
