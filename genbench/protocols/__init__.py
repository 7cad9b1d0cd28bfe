"""Built-in protocols: how the numbers of a board are taken, a row each, found at run time."""
