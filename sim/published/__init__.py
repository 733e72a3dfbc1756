"""Published figures: what was measured on real machines, and what the simulator says of them.

`runs` says which runs there are, `page` makes docs/explanation/published-figures.md of their figures, and `python
-m sim.published` makes both. The runs' figures are kept in configs/published/results.json, so that the page can be
held against them without running for an hour, and the shorter ones against new runs. `lockstat` holds one boot of a
machine's loads against that machine's lock statistics, and makes docs/explanation/lockstat.md.
"""
