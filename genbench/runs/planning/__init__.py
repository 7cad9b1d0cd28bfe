"""Turn a request into a plan: rows resolved, options cast, everything that can fail late checked.

Imports runs.records.
"""
