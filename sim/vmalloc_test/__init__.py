"""lib/test_vmalloc.c, the kernel's own test of vmalloc: what its workers ask for, in which order, what it prints.

Nothing here knows a world or a clock. A test is a generator that yields `operations` and is sent what came of
each; `cases` has the thirteen tests, `driver` a worker that goes through them, `summary` the kernel's lines.
`sim.workloads.test_vmalloc` carries the operations out.

Sources: lib/test_vmalloc.c (ids 1 to 1024 as of v6.2; 2048 of 2025; 4096, `nr_pcpu_objects` and `xfailed` of the
first half of 2026) and tools/testing/selftests/mm/test_vmalloc.sh.
"""
