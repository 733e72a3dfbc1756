"""What all tests share: Hypothesis has no deadline on shared machines, and prints what replays a failure."""

from hypothesis import settings

settings.register_profile("vmapsim", deadline=None, print_blob=True)
settings.load_profile("vmapsim")
