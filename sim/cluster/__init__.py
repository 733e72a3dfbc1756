"""Runs in the cluster: what processes host, who drives them, and what is judged when they are done.

members.py     which member hosts which nodes, as a file
hosting.py     what `serve` does: the actors of one process until it is told to stop
driving.py     what `drive` does: a scenario's clients against members, and the checks
processes.py   what `cluster` does: start the members, kill them when faults say so, stop them
"""
