"""The judge of answers that keeps every operation and compares windows, each with each, at the end."""

from collections.abc import Iterable, Sequence

from attrs import define, field

from actors.world import Completed
from protocol.area import VmapArea

LONG_AGO: Completed = ("insert", -1, -2, -1, 1, 0, 0, 0, None)
"""The insertion of what was there from the beginning."""


@define
class SlowHistory:
    """Judges as `History` does, in O(n²), with nothing settled, forgotten or put off."""

    insertions: list[tuple[VmapArea, Completed]] = field(factory=list)
    operations: list[Completed] = field(factory=list)

    def preload(self, areas: Iterable[VmapArea]) -> None:
        self.insertions += [(area, LONG_AGO) for area in areas]

    def extend(self, operations: Sequence[Completed]) -> None:
        self.operations += operations

    def judge(self) -> tuple[int, int]:
        """Give the number of false answers, and how many of them are removals that cannot all have been."""
        for operation in self.operations:
            if operation[0].startswith(("insert", "alloc")) and (answer := operation[8]) is not None:
                areas = answer if isinstance(answer, tuple) else (answer,)
                self.insertions += [(area, operation) for area in areas]
        removals: list[Completed] = []
        wrong_removals = 0
        for operation in self.operations:
            if operation[0] in ("unlink", "free") and operation[8] is not None:
                if self._can_be_true(operation, removals):
                    removals.append(operation)
                else:
                    wrong_removals += 1
        for area in {inserted for inserted, _ in self.insertions}:
            wrong_removals += self._out_of_balance(area, removals)
        wrong = 0
        for operation in self.operations:
            if operation[8] is None and operation[0] != "reserve":
                wrong += self._must_be_false(operation, removals)
            elif operation[0].startswith("find"):
                wrong += not self._can_be_true(operation, removals)
        return wrong + wrong_removals, wrong_removals

    def _can_be_true(self, lookup: Completed, removals: list[Completed]) -> bool:
        area = lookup[8]
        assert isinstance(area, VmapArea)
        came = [one for inserted, one in self.insertions if inserted == area and one[2] <= lookup[3]]
        gone = [one for one in removals if one[8] == area and before(one, lookup)]
        return lookup[7] in area and len(came) > len(gone)

    def _out_of_balance(self, area: VmapArea, removals: list[Completed]) -> int:
        """Count the ends of windows after which nothing happened to the area, and it was not there 0 or 1 times."""
        changes = [(one[2], one[3], 1) for inserted, one in self.insertions if inserted == area]
        changes += [(one[2], one[3], -1) for one in removals if one[8] == area]
        wrong = excess = 0
        for rest_ns in sorted({end_ns for _, end_ns, _ in changes}):
            if any(begin_ns <= rest_ns < end_ns for begin_ns, end_ns, _ in changes):
                continue
            balance = sum(change for _, end_ns, change in changes if end_ns <= rest_ns) - excess
            wrong += balance not in (0, 1)
            excess += balance - max(0, min(1, balance))
        return wrong

    def _must_be_false(self, lookup: Completed, removals: list[Completed]) -> bool:
        for area in {inserted for inserted, _ in self.insertions if lookup[7] in inserted}:
            came = [one for inserted, one in self.insertions if inserted == area and before(one, lookup)]
            gone = [one for one in removals if one[8] == area and one[2] <= lookup[3]]
            if len(came) > len(gone):
                return True
        return False


def before(one: Completed, other: Completed) -> bool:
    """Tell whether `one` was certainly over when `other` began."""
    return one[3] < other[2] or (one[3] == other[2] and one[1] == other[1] and one[2] < other[2])
