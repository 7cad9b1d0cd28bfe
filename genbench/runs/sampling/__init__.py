"""Sample images in shards, and write one file per shard and output.

Imports runs.records and runs.planning.
"""
