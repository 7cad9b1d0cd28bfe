"""Check an installation against known values (`genbench selftest`).

Reference values on seeded arrays, published results on real data, and the shipped boards.

May import every package but cli, integrations, experiments.

Public names, by file:

    selftest: checks, plain, shown
"""
