"""What is decided: areas, zones, trees, machines, messages, search policies, batch strategies.

Everything here is pure, synchronous and deterministic. Nothing in this package knows of trio, of a
clock, of chance or of I/O (but for `registry`, which lists and imports files of this repository), so that the same
objects serve virtual time, live channels and sockets.
"""
