"""Write, read, upgrade and compare the record of a run (run.json).

The first stage: it imports no other stage.
"""
