"""The counter of lazily freed pages."""

from protocol.area import ULONG_MAX
from protocol.lazy_pages import LazyPagesMachine
from protocol.messages import AddLazyPages, LazyPages, ReadLazyPages, Refused, SubtractLazyPages


def test_what_the_counter_cannot_hold_is_refused_and_changes_nothing() -> None:
    """Fewer than none, more than a word: whoever asks that is told so, and everybody else goes on."""
    machine = LazyPagesMachine()
    assert machine.handle(AddLazyPages(3))[0] == LazyPages(3)
    assert machine.handle(SubtractLazyPages(4, 1))[0] == Refused(
        "bad-range", "4 pages less are too few: there are 3"
    )
    reply, _work = machine.handle(AddLazyPages(ULONG_MAX))
    assert isinstance(reply, Refused)
    assert machine.handle(ReadLazyPages())[0] == LazyPages(3)
