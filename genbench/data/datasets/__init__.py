"""Built-in data sets: one row a leaf, found at run time, imported by no module."""
