"""Read real images as data sets, and check images.

Data sets are files of datasets/, found at run time. Here are the user's own files as data sets,
subsets, long-tailed cuts, prompts, the checks and the quantisation of a generator's images, and
image grids.

May import: io, statistics, api, _util.

Public names, by file:

    class_labels: LISTING
    huggingface: MISSING
    image_checks: checked, sketch
    image_grid: grid_png
    long_tail: Groups, NAMES, groups, worded
    prompts: COLUMN, TEMPLATE, blocks, of_classes, places, read
    published_datasets: VARIABLE, data_root
    quantisation: to_uint8
    subsets: BALANCED_TRAIN, HALVES, REFERENCES, described, heldout, train_counts, unhalved, whole
    user_datasets: dataset_of, files_dataset, npz_dataset, open_images
"""
