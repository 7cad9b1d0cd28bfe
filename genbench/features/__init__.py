"""Compute features of images.

Extractors are files of extractors/, found at run time. Here are the resizes of the published codes,
the loading of networks, the extraction by batches, numeric precision, and the identity of features.

May import: data, io, statistics, api, _util.

Public names, by file:

    extraction: AT_ONCE, ahead_of, ahead_of_rows, at_hand, calls, network, rows_of, sums_of,
        sums_of_rows, wide_at_once
    extractor_identity: Used, all_weights, needed, package_of, place_of_vocabulary
    extractor_versions: bare, earlier, earlier_seal_of, is_ours, of_hash, same, seal_of, version_of
    numeric_precision: possible
    reference_cache: Found, MIRRORED, Real, Wanted, features_of, features_of_split, labels_of_split
    resize: resize
"""
