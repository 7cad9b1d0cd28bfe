"""Answer a question that takes many runs.

Option grids (`genbench sweep`), tuning (`genbench sweep --tune`) and the tracking of a training
run's checkpoints (`genbench track`).

May import every package but cli, integrations.

Public names, by file:

    option_grid: grid
    track_checkpoints: Track, checkpoints, picture, shown, tracked
    tune_options: notes_of, search_of, tuned
"""
