"""Pages that hold the simulator against what real machines were measured at; each is written by what runs it."""
