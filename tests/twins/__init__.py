"""Slow linear twins: each does what a clever structure does, too simply to be wrong."""
