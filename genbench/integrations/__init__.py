"""Connect genbench to other tools: experiment trackers, pytest, training callbacks.

Empty until the first integration is added.

May import every package but cli.
"""
