"""Compute metrics: pure functions of arrays, one family to a file.

Every file defines rows of `Metric` and `Measure`, found at run time and imported by no module.
Files that begin with an underscore are shared by them.

May import: features, data, io, statistics, api, _util.

Public names, by file:

    _streaming: first_of, streams
"""
