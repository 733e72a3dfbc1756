"""What builds the world and judges it: virtual time, costs, workloads, traces, metrics, checks, commands.

Nothing below this package knows of it.
"""
