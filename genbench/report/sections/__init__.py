"""The report: one section a leaf, found by its row.

The page around them, its style and its script lie beside.
"""
