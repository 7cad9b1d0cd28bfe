"""Built-in metrics: one family a leaf, found at run time, imported by no module."""
