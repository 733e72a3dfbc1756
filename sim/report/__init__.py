"""Reports: one page that opens offline, with the figures of a run or of a study.

What a figure is made of are portraits (`portrait`): latency curves, nodes asked, locks and their load of one run,
or of all replications of a cell. `figures` draws groups of portraits beside each other, `sweeps` what only studies
have, and `page` puts figures on a page.
"""
