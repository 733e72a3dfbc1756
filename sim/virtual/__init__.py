"""Virtual time: the world in which a nanosecond is an integer and actors are stepped in place."""

from sim.virtual.world import Deadlock, VirtualWorld

__all__ = ["Deadlock", "VirtualWorld"]
