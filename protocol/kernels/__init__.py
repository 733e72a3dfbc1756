"""Kernels: named sets of choices (`protocol.kernel`). Each is one function in a file of its own.

`v6_10.py` is called "6.10"; a stem that is no version has dashes, `v3_04.py` is "v3-04" (a patch of a series).
"""

import re
from typing import Protocol

from protocol.kernel import Kernel

_VERSION = re.compile(r"v(0|[1-9]\d*)((_(0|[1-9]\d*))+)")


class MakesKernel(Protocol):
    """The shape of a file's function."""

    def __call__(self) -> Kernel:
        """Give the kernel, called as its file is."""
        ...


SHAPE = MakesKernel
"""What the files of this folder offer (see `protocol.registry`)."""


def name_of(stem: str) -> str:
    """Give the name of the kernel in the file `stem` (see `protocol.registry`)."""
    return stem[1:].replace("_", ".") if _VERSION.fullmatch(stem) else stem.replace("_", "-")
