"""Compute statistics of arrays: confidence intervals, tests, moments, Fréchet distances.

Pure functions, numpy in and numpy out, float64 throughout; nothing here knows of runs or images.

May import: api, _util.

Public names, by file:

    blocks: BLOCKS, blocks_of, means_without, rank_in_class, sizes_of, sums_without
    confidence_intervals: Difference, Estimate, LEVEL, difference, estimate, few_blocks, few_counts,
        few_hits, interval, t_interval, wide_near_real, wide_of_reference, wilson
    frechet_distance: Gaussian, distance, distances_of_moments, distances_without, fit, of_moments,
        projected
    influence_function: influence
    jackknife: jackknife
    kernels: kernel_sums, kernel_sums_by_blocks, polynomial
    matrix_sqrt: factor_of, nuclear_norm, trace_of_product_root
    moments: CHUNK, Moments, covariance, merge, merge_all, moments
    nearest_neighbours: close, nearest, nearest_others, outside, squared_distances
    noninferiority: Change, Kind, benjamini_hochberg, change, detectable, halves, kernel_margin,
        kind_of, needed, pocock, settling, verdict
    permutation_tests: COUNT, arrangements, kernel_distances, least_p, log_spreads, p_value,
        standardised
    rank_ranges: holm, rank_ranges
"""
