"""What every kernel holds to: choices that have a meaning, and flows that work."""

from pathlib import Path

from protocol import kernels, registry
from protocol.kernel import CHOICES, Kernel
from sim.contracts import Breach, Clause, asked
from sim.scenario.file import structure
from sim.simulation import simulate

FREE = ("pool_limit", "zone_pages")
"""Choices that are numbers: any will do that is not negative."""

RUNS = ((1, 1), (4, 7))
"""CPUs and seed of the runs that a kernel has to pass."""


def is_named_as_its_file(name: str) -> None:
    """It gives a kernel, of that name and with a summary."""
    kernel = _kernel(name)
    if not isinstance(kernel, Kernel):
        raise Breach(f"gives {kernel!r} instead of a Kernel")
    if kernel.name != name:
        raise Breach(f"calls itself {kernel.name!r}, and its file {name!r}")
    if not kernel.summary or "\n" in kernel.summary:
        raise Breach("has no summary of one line")


def chooses_values_that_are_known(name: str) -> None:
    """It makes every choice by a value that somebody acts on."""
    kernel = _kernel(name)
    for choice, described in CHOICES.items():
        value = getattr(kernel, choice)
        if choice in FREE and type(value) is int and value >= 0:
            continue
        if value not in described.values:
            known = ", ".join(map(repr, described.values))
            raise Breach(f"chooses {choice} = {value!r}, which is none of {known}")


def passes_every_check_under_load(name: str) -> None:
    """Callers of vmalloc on it leave everything in order."""
    for cpus, seed in RUNS:
        table = {
            "seed": seed,
            "space": {"kernel": name},
            "machine": {"cpus": cpus},
            "workload": {"kind": "vmalloc", "operations": 400, "preload_areas": 20},
        }
        outcome = simulate(structure(table, "the contract of kernels"), Path())
        for check, verdict in outcome.verdicts.items():
            if not verdict.ok:
                raise Breach(f"fails the check {check} on {cpus} CPUs: {verdict.first}")


CLAUSES = (is_named_as_its_file, chooses_values_that_are_known, passes_every_check_under_load)


def hold(name: str, clause: Clause) -> None:
    """Hold the kernel `name` to a clause. Raises `Breach`."""
    clause(name)


def _kernel(name: str) -> Kernel:
    kernel: Kernel = asked(registry.load(kernels, name, {}), words="when it is made")
    return kernel
