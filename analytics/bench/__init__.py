"""Benchmarks a user can repeat, side by side with other programs: `howdah bench decode` and `howdah bench ingest`.

Every contestant is a process of its own and gets the same input. Ratios of one run are what may be quoted.
"""
