"""State how the numbers of a board are measured, one source to a file.

Every file defines rows of `Protocol`, found at run time and imported by no module.

May import: metrics, features, data, io, statistics, api, _util.

Public names: none; its rows are found at run time.
"""
