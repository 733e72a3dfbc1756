"""Timelines: what happened when, for Perfetto's viewer (ui.perfetto.dev), in nanoseconds of the run's clock.

`recording` takes notes while a run lasts, as many as it is told to; `nesting` finds what lies in what,
and `perfetto` makes tracks of that.
"""
