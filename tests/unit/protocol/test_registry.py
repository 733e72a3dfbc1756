"""Folders as registries: names, what a name gives, parameters, and the one line for an unknown name."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import protocol.policies
import protocol.strategies
import sim.workloads
from protocol import policies, registry, strategies
from protocol.errors import VmapsimError
from protocol.policies.bounded import Bounded
from protocol.policies.forward import forward
from protocol.registry import BrokenFile, UnknownName
from protocol.strategies.chunked import Chunked
from protocol.strategies.global_ import Global
from protocol.strategies.per_area import per_area

FILES = {
    "plain.py": 'def plain() -> int:\n    """Give one.\n\n    And a paragraph.\n    """\n    return 1\n',
    "two_words.py": "from attrs import frozen\n\n@frozen\nclass TwoWords:\n"
    "    depth: int = 1\n    width: int = 2\n    def __call__(self): ...\n",
    "while_.py": "from attrs import field, frozen\n\n@frozen\nclass While:\n"
    "    depth: int = 1\n    twice: int = field(init=False, default=7)\n    def __call__(self): ...\n",
    "form.py": "def form() -> int:\n    return 2\n",
    "_shared.py": "raise AssertionError('imported')\n",
}
NAMES = ["form", "plain", "two-words", "while"]

BROKEN = {
    "misnamed": ("def other() -> None: ...\n", "neither"),
    "a_value": ("a_value = 3\n", "neither"),
    "bare": ("class Bare:\n    def __call__(self): ...\n", "a class `Bare` without attrs or `__call__`"),
    "idle": (
        "from attrs import frozen\n\n@frozen\nclass Idle: ...\n",
        "a class `Idle` without attrs or `__call__`",
    ),
    "ajar": ("def ajar(:\n", "SyntaxError on import: invalid syntax (ajar.py, line 1)"),
    "lost": ("import nowhere_at_all\n", "ModuleNotFoundError on import: No module named 'nowhere_at_all'"),
    "burst": ("raise ValueError('two\\nlines')\n", "ValueError on import: two lines"),
}
"""Files that do not hold to the convention, by stem, and what is found in each."""


@pytest.fixture
def ideas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Make a folder of ideas outside the repository."""
    package = "folder_of_ideas"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    for name, text in FILES.items():
        (tmp_path / package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(package)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_names_are_those_of_the_files_in_alphabetical_order(ideas: ModuleType) -> None:
    """Dashes for underscores, and no underscore for what would be a keyword of Python."""
    assert registry.names(ideas) == NAMES


def test_a_folder_can_keep_the_kernels_names(ideas: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `SEPARATOR = "_"` in the folder underscores stay, and a name with a dash is unknown there."""
    with pytest.raises(UnknownName):
        registry.offered(ideas, "two_words")
    monkeypatch.setattr(ideas, "SEPARATOR", "_", raising=False)

    assert registry.names(ideas) == ["form", "plain", "two_words", "while"]
    assert registry.load(ideas, "two_words", {"depth": 5}).depth == 5
    with pytest.raises(UnknownName):
        registry.offered(ideas, "two-words")
    assert {"mix", "test_vmalloc", "trace"} <= set(registry.names(sim.workloads))


def test_only_a_keywords_underscore_is_dropped(ideas: ModuleType) -> None:
    """`form` is no `for`, whatever comes after."""
    assert registry.load(ideas, "form", {})() == 2


def test_the_names_that_scenarios_rely_on_are_there() -> None:
    assert {"backward", "bounded", "forward", "home", "scatter"} <= set(registry.names(protocol.policies))
    assert {"chunked", "coalesced", "global", "grouped", "parallel", "per-area"} <= set(
        registry.names(protocol.strategies)
    )


def test_a_function_is_used_as_it_is(ideas: ModuleType) -> None:
    assert registry.load(ideas, "plain", {"depth": 9})() == 1
    assert policies.load("forward", extra=3) is forward
    assert strategies.load("per-area") is per_area


@pytest.mark.parametrize(
    ("parameters", "depth", "width"),
    [
        ({}, 1, 2),
        ({"depth": 5}, 5, 2),
        ({"width": 6, "depth": 5}, 5, 6),
        ({"height": 3, "width": 6}, 1, 6),
    ],
)
def test_a_class_gets_the_parameters_that_it_has_fields_for(
    ideas: ModuleType, parameters: dict[str, object], depth: int, width: int
) -> None:
    made = registry.load(ideas, "two-words", parameters)
    assert (made.depth, made.width) == (depth, width)


def test_a_field_that_the_class_sets_itself_is_no_parameter(ideas: ModuleType) -> None:
    made = registry.load(ideas, "while", {"depth": 4, "twice": 8})
    assert (made.depth, made.twice) == (4, 7)


def test_parameters_reach_the_classes_of_the_real_folders() -> None:
    assert policies.load("bounded", extra=3) == Bounded(extra=3)
    assert policies.load("bounded") == Bounded(extra=1)
    assert strategies.load("chunked", chunk=3) == Chunked(chunk=3)
    assert strategies.load("chunked") == Chunked(chunk=8)
    assert strategies.load("global", chunk=3) == Global()


def test_only_global_needs_one_lock() -> None:
    one_lock = [
        name for name in registry.names(protocol.strategies) if strategies.needs_one_lock(strategies.load(name))
    ]
    assert one_lock == ["global"]


@pytest.mark.parametrize(
    "name", ["sideways", "", "two_words", "while_", "Plain", "plain\nplain", "__init__", "_shared"]
)
def test_an_unknown_name_is_answered_in_one_line_with_those_there_are(ideas: ModuleType, name: str) -> None:
    for ask in (registry.offered, registry.summary):
        with pytest.raises(UnknownName) as caught:
            ask(ideas, name)
        text = str(caught.value)
        assert text == f"{name!r} is none of the folder_of_ideas: {', '.join(NAMES)}"
        assert "\n" not in text


def test_an_unknown_policy_or_strategy_is_the_callers_mistake() -> None:
    with pytest.raises(VmapsimError, match=r"^'sideways' is none of the policies: backward, bounded, "):
        policies.load("sideways")
    with pytest.raises(VmapsimError, match=r"^'per_area' is none of the strategies: .*, per-area$"):
        strategies.load("per_area")


@pytest.mark.parametrize("stem", BROKEN)
def test_a_file_that_breaks_the_convention_is_answered_in_one_line(ideas: ModuleType, stem: str) -> None:
    """The file's path, what it has, and what it should have; not only when it is loaded."""
    text, found = BROKEN[stem]
    path = Path(ideas.__path__[0]) / f"{stem}.py"
    path.write_text(text)
    name, cls = stem.replace("_", "-"), stem.title().replace("_", "")
    for ask in (registry.offered, registry.summary, lambda folder, name: registry.load(folder, name, {})):
        with pytest.raises(BrokenFile) as caught:
            ask(ideas, name)
        assert isinstance(caught.value, VmapsimError)
        assert str(caught.value) == (
            f"{path}: found {found}; expected: a function `{stem}` or an attrs class `{cls}` with `__call__`"
        )
    assert name in registry.names(ideas)


def test_a_field_that_nobody_fills_is_named(ideas: ModuleType) -> None:
    """Scenarios give the parameters that the folder's `load` passes on, and no others."""
    path = Path(ideas.__path__[0]) / "needy.py"
    path.write_text(
        "from attrs import frozen\n\n@frozen\nclass Needy:\n    far: int\n    def __call__(self): ...\n"
    )
    with pytest.raises(BrokenFile) as caught:
        registry.load(ideas, "needy", {"depth": 1, "width": 2})
    assert str(caught.value) == (
        f"{path}: found a field `far` without a default; "
        "expected: a default, or one of the parameters there are: depth, width"
    )
    assert registry.load(ideas, "needy", {"far": 3}).far == 3


def test_a_summary_is_the_first_line_of_the_docstring(ideas: ModuleType) -> None:
    assert registry.summary(ideas, "plain") == "Give one."
    assert registry.summary(ideas, "form") == ""
    assert registry.summary(protocol.policies, "scatter").startswith("Ask all nodes at once")


@pytest.mark.parametrize("folder", [protocol.policies, protocol.strategies], ids=lambda folder: folder.__name__)
def test_every_file_of_the_real_folders_can_be_listed(folder: ModuleType) -> None:
    for name in registry.names(folder):
        assert callable(registry.load(folder, name, {}))
        assert registry.summary(folder, name).endswith((".", ")"))
