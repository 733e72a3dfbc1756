"""Studies: many runs of a scenario that differ in factors, replicated until they are known well enough.

A study file (`model`) spans cells, one scenario each (`cells`). A campaign (`campaign`) replicates every cell until
the stopping rule (`statistics`) is satisfied, on whatever runs them (`runners`), and keeps each replication on
disk as soon as it is there (`store`). What comes out (`tables`) depends on the study and the code alone: neither
on who ran what nor on when.
"""

from sim.callable_package import make_callable

make_callable(__name__)
