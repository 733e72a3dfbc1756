"""Scenarios: what is simulated, as a frozen value; read from TOML, checked key by key."""

from sim.scenario.file import load_scenarios
from sim.scenario.model import Scenario

__all__ = ["Scenario", "load_scenarios"]
