"""Compare the records of finished runs side by side.

The entries of a board, their ranks, tables and comparisons, and exports of a run's numbers to other
formats.

May import: per_class, runs, generators, protocols, metrics, features, data, io, statistics, api,
_util.

Public names, by file:

    comparison: Block, Row, Unit, blocks, blocks_of, differences, grouped, kept_apart, ranks, refuse
    comparison_tables: methods_plain, methods_text, picture, shown
    entries: Entry, boards, entries, entry_of, number, others_of
    export_results: Named, export
    methods: named, same_recipe
    protocols_side_by_side: as_plain, as_table, of_one_model, readings
    ranking: direction, metrics_of, sorting
    tables: ARROW, rank_text, result, shown
    tradeoff_plots: LINES, picture
    versus_real: against_real
    write_board: attach, enter
"""
