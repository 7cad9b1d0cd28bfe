"""Read files made by strangers, safely.

npz, idx, images, TOML, checkpoints, pickles, weights, downloads and remote storage. Nothing in a
file is executed, and sizes are bounded before memory is allocated.

May import: statistics, api, _util.

Public names, by file:

    checkpoints: load_checkpoint, load_tensors
    download: Unreached, pieces
    idx: IMAGES, LABELS, is_idx, labels_beside, read
    image_decoding: ENDINGS, LARGEST, POLICIES, VARIABLE, decoded, heeded, is_picture, skips
    json_shape: tree, wrong
    npz: keys, member, rows, whole
    nvidia_pickles: load_network
    reference_statistics: FORMS, read_statistics, write_statistics
    remote_storage: Place, is_url, opened, runs, whereabouts
    toml: loads
    weights: Found, find, folders, known, need, present, wanted, words
    zip_stream: Pipe, zipped
"""
