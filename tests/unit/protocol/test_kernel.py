"""Kernels as data, and the kernel's arithmetic."""

from typing import get_args, get_type_hints

import pytest
from attrs import fields

from protocol.kernel import CHOICES, KERNELS, Kernel, lazy_max_pages, nr_purge_helpers, nr_vmap_nodes


def test_every_choice_is_described_and_every_kernel_makes_a_described_one() -> None:
    names = [attribute.name for attribute in fields(Kernel)][3:]
    assert sorted(CHOICES) == sorted(names)
    for kernel in KERNELS.values():
        for name in names:
            assert getattr(kernel, name) in CHOICES[name].values, f"{kernel.name}: {name}"


def test_the_described_values_are_those_of_the_types() -> None:
    for name, kind in get_type_hints(Kernel).items():
        if name in CHOICES and get_args(kind):
            assert set(CHOICES[name].values) == set(get_args(kind)), name


def test_what_the_versions_changed() -> None:
    """The facts that tell the kernels apart."""
    chosen = {
        name: (
            kernel.nodes,
            kernel.policy,
            kernel.busy_locks,
            kernel.pools,
            kernel.decay,
            kernel.shrinker,
            kernel.lazy_counter,
        )
        for name, kernel in KERNELS.items()
    }
    assert chosen == {
        "6.8": ("one", "forward", 2, False, "none", "none", "per-area"),
        "v3-04": ("one", "forward", 2, False, "none", "none", "per-area"),
        "6.9": ("per-cpu", "forward", 2, True, "underflow", "unlocked", "per-area"),
        "6.10": ("per-cpu", "forward", 1, True, "underflow", "unlocked", "per-area"),
        "6.16": ("per-cpu", "backward", 1, True, "mended", "unlocked", "per-node"),
        "7.1": ("per-cpu", "backward", 1, True, "mended", "purge-lock", "per-node"),
    }


@pytest.mark.parametrize(("cpus", "nodes"), [(1, 1), (4, 4), (128, 128), (129, 128), (512, 128)])
def test_nodes_are_possible_cpus_up_to_128(cpus: int, nodes: int) -> None:
    assert nr_vmap_nodes(KERNELS["6.16"], cpus) == nodes
    assert nr_vmap_nodes(KERNELS["6.8"], cpus) == 1


@pytest.mark.parametrize(
    ("cpus", "pages"),
    [
        (1, 8_192),
        (4, 24_576),
        (8, 32_768),
        (32, 49_152),
        (64, 57_344),
        (127, 57_344),
        (128, 65_536),
        (255, 65_536),
        (256, 73_728),
        (511, 73_728),
    ],
)
def test_lazy_pages_grow_with_the_logarithm_of_cpus(cpus: int, pages: int) -> None:
    assert lazy_max_pages(cpus) == pages
    assert lazy_max_pages(cpus, page_size=65_536) * 16 == pages


@pytest.mark.parametrize(
    ("nr_lazy", "nodes", "helpers"),
    [(0, 3, 0), (8_192, 3, 0), (16_384, 3, 1), (30_000, 3, 2), (90_000, 3, 2), (90_000, 1, 0)],
)
def test_helpers_for_each_further_bound_of_lazy_pages(nr_lazy: int, nodes: int, helpers: int) -> None:
    """clamp(nr_lazy / lazy_max_pages(), 1, nodes with work) - 1."""
    assert nr_purge_helpers(nr_lazy, 8_192, nodes) == helpers
