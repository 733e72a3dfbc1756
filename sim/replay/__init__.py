"""Replay: a real kernel's trace against the model, address by address.

A trace prints lines in the order of printing; what happened is another order, of which lines and tasks say something.
`recording` knows what they say, `state` is the kernel's state with a way back, `purges` says what a purge does and
with which areas, `line` is the order of what happened as far as it is known, `search` looks for another one when
the model and the kernel disagree, and `engine` goes through the trace.
"""
