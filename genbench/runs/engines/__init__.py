"""The shelf of engines: who computes a run's shards,
a file each with a row genbench.api.engine.Engine.
"""
