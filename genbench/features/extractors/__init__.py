"""Built-in feature extractors: one row a leaf, found at run time, imported by no module."""
