"""Areas to draw from, each as likely as the others, while they come and go."""

from random import Random

from attrs import define, field

from protocol.area import VmapArea


@define
class Draws:
    """Areas by their starts; to add, discard and draw one is O(1)."""

    _areas: list[VmapArea] = field(factory=list)
    _places: dict[int, int] = field(factory=dict)
    """Where in the list an area is, by its start."""

    def __len__(self) -> int:
        return len(self._areas)

    def add(self, area: VmapArea) -> None:
        """Take an area in."""
        self._places[area.va_start] = len(self._areas)
        self._areas.append(area)

    def discard(self, va_start: int) -> None:
        """Let go of the area that starts there, if it is here."""
        place = self._places.pop(va_start, None)
        if place is not None:
            last = self._areas.pop()
            if last.va_start != va_start:
                self._areas[place] = last
                self._places[last.va_start] = place

    def draw(self, random: Random) -> VmapArea:
        """Draw an area; there must be one."""
        return self._areas[int(random.random() * len(self._areas))]
