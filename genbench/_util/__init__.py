"""Provide what knows no image: errors, console, formatting, files, hashes, lazy imports.

Private: extension authors import genbench and genbench.api only.

It imports nothing else of genbench.

Public names, by file:

    atomic_write: folder_to_write, sweep, write, write_folder, write_pieces
    background_thread: Behind, fetched
    cache: cache, cached, home
    checksummed_files: Damaged, SEAL, read_arrays, read_json, write_arrays, write_json
    console: answer, aside, complain, progress, tell
    deprecation: forward
    did_you_mean: choices
    errors: NotComparable, PluginFailed, RunFailed, UserError
    exit_codes: DONE, INTERRUPTED, NOT_COMPARABLE, REGRESSION, RUN_FAILED, USAGE
    formatting: cell_of_csv, clean, fields, listing, number, plus_minus, table
    hashing: code_sha256, content_sha256, digest, file_sha256, sha256, source_text
    lazy_imports: F, Image, evalica, hf_datasets, jinja2, linalg, lmdb, markupsafe, mpl, mpl_agg,
        mpl_figure, mpl_svg, mpl_ticker, np, optuna, parquet, pd, pyarrow, safetensors,
        safetensors_torch, scipy_optimize, scipy_special, scipy_stats, sklearn_cluster,
        sklearn_datasets, sklearn_linear, timm_vit, torch, torchvision_datasets, torchvision_models
    locks: locked, taken
    malloc: kept
    package_version: VERSION
    source_files: code_of_files
    thread_pool: each
"""
