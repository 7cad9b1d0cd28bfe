"""The command line: one command a leaf, found by its file name."""
