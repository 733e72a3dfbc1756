"""What real kernels recorded: readers that turn a kernel's own text into typed records.

A reader says what is wrong with a file and interprets nothing: what a record means for nodes, pools and
purges is decided by those who use it. `lines` gives any text's lines, `heads` knows what each tool prints
before an event, `events` what the kernel prints of it, `read` puts them together.
"""
