"""Scenarios: the defaults of the documented contract, and one line for everything that cannot be."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve, fields, has
from hypothesis import given
from hypothesis import strategies as st

from protocol import policies, registry, strategies
from protocol.area import PAGE_SIZE, VMALLOC_START, ZoneLayout
from protocol.kernel import CHOICES, KERNELS, Kernel, nr_vmap_nodes
from sim.errors import BadInput
from sim.reference import scenario_page
from sim.scenario import Scenario, load_scenarios
from sim.scenario.converter import unstructure
from sim.scenario.file import structure
from sim.scenario.model import Batch, KernelChoices, Lookup

DEFAULTS = """\
seed = 1
[space]
nodes = 16
zone_pages = 16
page_size = 4096
kernel = "6.16"
[machine]
cpus = 16
topology = "flat"
[costs]
model = "message-passing"
lock_ns = 20
visit_ns = 8
link_ns = 60
[lookup]
policy = "backward"
[batch]
strategy = "grouped"
areas = 16
[workload]
kind = "mix"
operations = 200000
preload_areas = 10000
pages = [1, 64]
guard = true
think_ns = 0
[workload.mix]
find = 0.70
insert = 0.15
unlink = 0.15
insert_batch = 0.0
interior = 0.10
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scenario.toml"


def load(path: Path, text: str = "", *settings: str, seed: int | None = None) -> Scenario:
    """Load a scenario with this text."""
    path.write_text(text, encoding="utf-8")
    return load_scenarios(path, settings, seed).base


def complaint(path: Path, text: str = "", *settings: str) -> str:
    """What is said about a scenario; always one line that says where, what was found and what is allowed."""
    with pytest.raises(BadInput) as caught:
        load(path, text, *settings)
    told = str(caught.value)
    assert "\n" not in told
    where, _, rest = told.partition(": found ")
    found, _, allowed = rest.partition("; allowed: ")
    assert all((where, found, allowed))
    return told.removeprefix(f"{path}: ")


# -- defaults -------------------------------------------------------------------------------------


def test_an_empty_file_is_the_documented_default(path: Path) -> None:
    """Every default is that of the documented contract."""
    assert load(path) == load(path, DEFAULTS) == Scenario()


def test_documented_keys_are_unchanged_by_structuring(path: Path) -> None:
    """All documented keys are in the resolved scenario, with their values."""
    resolved = unstructure(load(path))
    assert resolved["seed"] == 1
    assert resolved["space"] == {"nodes": 16, "zone_pages": 16, "page_size": 4096, "kernel": "6.16"}
    assert (resolved["machine"]["cpus"], resolved["machine"]["topology"]) == (16, "flat")
    assert resolved["workload"]["pages"] == [1, 64]
    assert resolved["workload"]["guard"] is True


def test_a_zone_has_bytes(path: Path) -> None:
    """Pages per zone times bytes per page."""
    assert load(path, "[space]\nzone_pages = 3\npage_size = 8192").space.zone_size == 3 * 8192


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_the_kernel_decides_what_the_scenario_does_not(path: Path, kernel: Kernel) -> None:
    """Nodes, zones, policy and the other choices are the kernel's, unless the scenario sets them."""
    chosen = f'space.kernel="{kernel.name}"'
    nodes = nr_vmap_nodes(kernel, 16)
    scenario = load(path, "", chosen)
    assert (scenario.space.nodes, scenario.space.zone_pages) == (nodes, kernel.zone_pages)
    assert scenario.lookup.policy == kernel.policy
    assert scenario.chosen_kernel == kernel
    scenario = load(path, "[space]\nnodes = 5", chosen)
    assert (scenario.space.nodes, scenario.lookup.policy) == (5, kernel.policy)
    scenario = load(path, "", chosen, "lookup.policy=scatter", "kernel.pool_limit=9")
    assert (scenario.space.nodes, scenario.lookup.policy) == (nodes, "scatter")
    assert scenario.chosen_kernel == evolve(kernel, pool_limit=9)


@pytest.mark.parametrize(("cpus", "nodes"), [(1, 1), (4, 4), (128, 128), (200, 128)])
def test_there_are_as_many_nodes_as_cpus_up_to_128(path: Path, cpus: int, nodes: int) -> None:
    """Before v6.9 there is one."""
    assert load(path, f"[machine]\ncpus = {cpus}").space.nodes == nodes
    assert load(path, f"[machine]\ncpus = {cpus}", "space.kernel=6.8").space.nodes == 1


def test_a_zone_of_no_pages_is_one_of_one_byte(path: Path) -> None:
    """`vmap_zone_size = 1`: every page is in a zone of its own, and all are node 0's where nodes divide a page."""
    scenario = load(path, "", "space.kernel=v3-04", "space.nodes=4")
    assert scenario.space.zone_size == 1
    layout = ZoneLayout(4, scenario.space.zone_size)
    assert {layout.addr_to_node_id(VMALLOC_START + page * PAGE_SIZE) for page in range(99)} == {0}


@pytest.mark.parametrize("name", [attribute.name for attribute in fields(KernelChoices)])
def test_each_choice_of_a_kernel_is_settable_alone_and_shown(path: Path, name: str) -> None:
    """A value that is none of the documented ones is refused."""
    for value in CHOICES[name].values:
        words = str(value).lower() if isinstance(value, bool) else str(value)
        scenario = load(path, "", f"kernel.{name}={words}", "space.kernel=6.9")
        assert unstructure(scenario)["kernel"][name] == value
        others = evolve(scenario.kernel, **{name: getattr(KERNELS["6.9"], name)})
        assert others == KernelChoices.of(KERNELS["6.9"])
    assert complaint(path, f'[kernel]\n{name} = "x"').startswith(f"kernel.{name}: found 'x'")


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # unknown keys
        ("speed = 9", "speed: found an unknown key; allowed: seed, space, kernel"),
        (
            "variants = 9",
            "variants: found an unknown key; allowed: seed, space, kernel, machine, costs, lookup, batch, "
            "workload, warmup, faults, parameters, variant",
        ),
        ('"" = 9', '"": found an unknown key; allowed: seed'),
        ('scenario = "x.toml"\n[[factor]]', "found a study; allowed: a scenario, or for this file: ./dev study "),
        ("[compare]", "found a study; allowed: a scenario, or for this file: ./dev study "),
        (
            'scenario = "x.toml"\n[[constant]]',
            "found targets; allowed: a scenario, or for this file: ./dev calibrate ",
        ),
        ("[spice]", "spice: found an unknown key; allowed: seed, space, kernel"),
        ("[space]\nnode = 1", "space.node: found an unknown key; allowed: nodes, zone_pages, page_size, kernel"),
        ("[workload.mix]\nfinds = 1", "workload.mix.finds: found an unknown key; allowed: find, insert, unlink"),
        # wrong types
        ('seed = "1"', "seed: found '1'; allowed: an integer"),
        ("seed = 1.0", "seed: found 1.0; allowed: an integer"),
        ("seed = true", "seed: found True; allowed: an integer"),
        ("[space]\nnodes = 2.5", "space.nodes: found 2.5; allowed: an integer"),
        ("[space]\nkernel = 6.16", "space.kernel: found 6.16; allowed: a string"),
        ("[workload]\nguard = 1", "workload.guard: found 1; allowed: true or false"),
        ('[workload.mix]\nfind = "all"', "workload.mix.find: found 'all'; allowed: a number"),
        ("[workload.mix]\nfind = true", "workload.mix.find: found True; allowed: a number"),
        ("[workload]\npages = 4", "workload.pages: found 4; allowed: a list of integers"),
        ('[workload]\npages = "ab"', "workload.pages: found 'ab'; allowed: a list of integers"),
        ("[workload]\npages = [1, 2.5]", "workload.pages.1: found 2.5; allowed: an integer"),
        ("space = 4", "space: found 4; allowed: a table of keys"),
        ("[[space]]\nnodes = 2", "space: found [{'nodes': 2}]; allowed: a table of keys"),
        ("[workload]\nmix = 4", "workload.mix: found 4; allowed: a table of keys"),
        # impossible values
        ("seed = -1", "seed: found -1; allowed: an integer from 0 to 18446744073709551615"),
        ("[space]\nnodes = 0", "space.nodes: found 0; allowed: an integer from 1 to 1024"),
        ("[space]\nnodes = 1025", "space.nodes: found 1025; allowed: an integer from 1 to 1024"),
        ("[space]\nzone_pages = -1", "space.zone_pages: found -1; allowed: an integer from 0 to 1048576"),
        ("[space]\nzone_pages = 0", "space.zone_pages: found 0; allowed: an integer from 1 to 1048576"),
        ("[workload.vmalloc]\nalloc = 0.9", "workload.vmalloc.alloc + free + find"),
        ("[workload.vmalloc]\nmodule = 0.99", "workload.vmalloc.ioremap + module: found 1.01"),
        (
            "[workload.vmalloc]\npercpu_pages = 512\npercpu_distance_pages = 511",
            "workload.vmalloc.percpu_distance_pages: found 511; allowed: 0, or a multiple of percpu_pages, 512",
        ),
        (
            "[workload.vmalloc]\npercpu_pages = 7",
            "workload.vmalloc.percpu_pages: found 7; allowed: a power of two from 1 to 262144",
        ),
        (
            "[workload.vmalloc]\npercpu_groups = [2, 1]",
            "workload.vmalloc.percpu_groups: found [2, 1]; allowed: [fewest, most] with 1 <= fewest <= most <= 64",
        ),
        ("[space]\npage_size = 5000", "space.page_size: found 5000; allowed: 4096, 8192, 16384"),
        ("[machine]\ncpus = 0", "machine.cpus: found 0; allowed: an integer from 1 to 4096"),
        ("[costs]\nlock_ns = -1", "costs.lock_ns: found -1; allowed: an integer"),
        ("[costs]\nlink_ns = -1", "costs.link_ns: found -1; allowed: an integer"),
        ("[batch]\nareas = 0", "batch.areas: found 0; allowed: an integer from 1 to 1000000"),
        ("[batch]\nchunk = 0", "batch.chunk: found 0; allowed: an integer from 1 to 1000000"),
        ("[workload]\noperations = 0", "workload.operations: found 0; allowed: an integer from 1 to 1000000000000"),
        ("[workload]\npages = [1]", "workload.pages: found [1]; allowed: [fewest, most]"),
        ("[workload]\npages = [3, 2]", "workload.pages: found [3, 2]; allowed: [fewest, most]"),
        ("[workload]\npages = [0, 2]", "workload.pages: found [0, 2]; allowed: [fewest, most]"),
        ("[workload]\nthink_ns = -1", "workload.think_ns: found -1; allowed: an integer from 0 to"),
        # upper bounds, and values too long to be printed
        ("seed = 18446744073709551616", "seed: found an integer of 65 bits; allowed: an integer from 0"),
        (f"seed = 0x{'f' * 5000}", "seed: found an integer of 20000 bits; allowed: an integer from 0"),
        (f"[workload]\npages = [1, 0x{'f' * 5000}]", "workload.pages: found [1, an integer of 20000 bits]"),
        (f"[workload.mix]\nfind = 0x{'f' * 5000}", "workload.mix.find: found an integer of 20000 bits"),
        (f"[workload]\nkind = '{'x' * 5000}'", "workload.kind: found 'xxx"),
        *(
            (f"[costs]\n{key}_ns = 1000000001", f"costs.{key}_ns: found 1000000001; allowed: an integer from 0")
            for key in ("lock", "busy_hold", "lazy_hold", "pool_hold", "free_hold", "visit", "insert", "link")
        ),
        *(
            (
                f"[costs]\n{key}_jitter = {value}",
                f"costs.{key}_jitter: found {value}; allowed: a number from 0 to 1",
            )
            for key in ("hold", "tlb_flush")
            for value in (-0.1, 1.1, "nan")
        ),
        ("[lookup]\nextra = 1025", "lookup.extra: found 1025; allowed: an integer from 0 to 1024"),
        ("[batch]\nareas = 1000001", "batch.areas: found 1000001; allowed"),
        ("[batch]\nchunk = 1000001", "batch.chunk: found 1000001; allowed"),
        ("[workload]\noperations = 1000000000001", "workload.operations: found 1000000000001; allowed"),
        ("[workload]\npreload_areas = 10000001", "workload.preload_areas: found 10000001; allowed"),
        ('[workload]\nfile = "a\\u0000b"', "workload.file: found 'a\\x00b'; allowed: a file's name"),
        ('[space]\n"" = 3', 'space."": found an unknown key; allowed: nodes'),
        ("[workload.mix]\ninterior = 1.5", "workload.mix.interior: found 1.5; allowed: a number from 0 to 1"),
        ("[workload.mix]\nmiss = nan", "workload.mix.miss: found nan; allowed: a number from 0 to 1"),
        (
            "[workload.mix]\nfind = 0.8",
            "workload.mix.find + insert + unlink + insert_batch: found 1.1; allowed: shares that sum to 1",
        ),
        (
            "[workload.mix]\ninterior = 0.75\nmiss = 0.5",
            "workload.mix.interior + miss: found 1.25; allowed: shares of finds, at most 1",
        ),
        # names
        ('[space]\nkernel = "5.4"', "space.kernel: found '5.4'; allowed: 6.8, v3-04, 6.9, 6.10, 6.16, 7.1"),
        ('[machine]\ntopology = "ring"', "machine.topology: found 'ring'; allowed: cores, flat, hosts, matrix"),
        ('[costs]\nmodel = "free"', "costs.model: found 'free'; allowed: message-passing"),
        (
            '[lookup]\npolicy = "up"',
            "lookup.policy: found 'up'; allowed: backward, bounded, forward, home, scatter",
        ),
        (
            '[batch]\nstrategy = "all"',
            "batch.strategy: found 'all'; allowed: adaptive, chunked, coalesced, global, grouped, parallel, ",
        ),
        ('[workload]\nkind = "sleep"', "workload.kind: found 'sleep'; allowed: migrate, mix"),
        # what belongs together
        (
            '[workload]\nkind = "trace"',
            "workload.file: found nothing; allowed: a trace's file name, for workload.kind trace",
        ),
    ],
)
def test_every_mistake_is_one_line_that_names_the_key(path: Path, text: str, told: str) -> None:
    """Where, what was found there, and what is allowed."""
    assert complaint(path, text).startswith(told)


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    """No such file, no regular one, no text or no TOML: it says which file, and that TOML is wanted."""
    os.mkfifo(path.with_name("fifo"))
    with pytest.raises(BadInput) as caught:
        load_scenarios(path)
    assert str(caught.value) == f"{path}: found no such file or directory; allowed: a readable TOML file"
    for odd in (path.parent, Path("/dev/null"), path.with_name("fifo")):
        with pytest.raises(BadInput, match="found no regular file; allowed: a readable TOML file"):
            load_scenarios(odd)
    with pytest.raises(BadInput, match=r"found no TOML .*null byte"):
        load_scenarios(Path("a\0b"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"found no TOML \(.*\); allowed: a TOML file"):
        load_scenarios(path)
    path.write_text("seed = ?", encoding="utf-8")
    with pytest.raises(BadInput, match=r"found no TOML \(Invalid value .*line 1.*\); allowed: a TOML file"):
        load_scenarios(path)


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "table", "key", "value"),
    [
        ("space.nodes=3", "space", "nodes", 3),
        ("space.nodes = 0x10", "space", "nodes", 16),
        ("lookup.policy=forward", "lookup", "policy", "forward"),
        ('lookup.policy="forward"', "lookup", "policy", "forward"),
        ("batch.strategy=per-area", "batch", "strategy", "per-area"),
        ("space.kernel=v3-04", "space", "kernel", "v3-04"),
        ("workload.pages=[2, 3]", "workload", "pages", [2, 3]),
        ("workload.guard=false", "workload", "guard", False),
        ("space.kernel=6.9", "space", "kernel", "6.9"),
        ("space.kernel=6.10", "space", "kernel", "6.10"),
        ("workload.file=3 # 4", "workload", "file", "3 # 4"),
        ("workload.pages=[2,\n3]", "workload", "pages", [2, 3]),
        ("space={nodes=5}", "space", "nodes", 5),
        ("workload={operations=10, mix={interior=0.5}}", "workload", "operations", 10),
        ("workload.file=traces/a=b.txt", "workload", "file", "traces/a=b.txt"),
    ],
)
def test_a_setting_is_read_as_toml_or_else_as_a_string(
    path: Path, setting: str, table: str, key: str, value: object
) -> None:
    """`--set table.key=value`, with spaces or without."""
    assert unstructure(load(path, "", setting))[table][key] == value


def test_settings_win_over_the_file_and_the_last_one_over_others(path: Path) -> None:
    """`--seed` is the very last word on the seed."""
    text = "seed = 3\n[space]\nnodes = 4\nzone_pages = 2"
    scenario = load(path, text, "space.nodes=5", "space.nodes=6", "seed=7")
    assert (scenario.seed, scenario.space.nodes, scenario.space.zone_pages) == (7, 6, 2)
    assert load(path, text, "seed=7", seed=8).seed == 8


def test_settings_reach_into_inner_tables(path: Path) -> None:
    """Shares are set one by one, and judged together."""
    scenario = load(path, "", "workload.mix.find=0.5", "workload.mix.insert_batch=0.2")
    assert (scenario.workload.mix.find, scenario.workload.mix.insert_batch) == (0.5, 0.2)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("space.nodes", "--set: found 'space.nodes'; allowed: table.key=value"),
        ("=3", "--set: found '=3'; allowed: table.key=value"),
        ("", "--set: found ''; allowed: table.key=value"),
        ("seed.x=3", "--set seed.x: found the value 1 at seed; allowed: a table there"),
        ("space.node=3", "--set space.node: found an unknown key; allowed: nodes"),
        ("space.nodes=many", "--set space.nodes: found 'many'; allowed: an integer"),
        ("space=3", "--set space: found 3; allowed: a table of keys"),
        ("seed={x=3}", "--set seed: found {'x': 3}; allowed: an integer"),
        ("space={nodes={x=3}}", "--set space.nodes: found {'x': 3}; allowed: an integer"),
        ("spice={x=3}", "--set spice: found an unknown key; allowed: seed"),
        ("workload.pages=[1, 2.5]", "--set workload.pages.1: found 2.5; allowed: an integer"),
        ("workload.mix.find=0.8", "--set workload.mix.find + insert + unlink + insert_batch: found 1.1"),
        ("space.kernel=5.40", "--set space.kernel: found '5.40'; allowed: 6.8"),
        ("space..nodes=3", "--set: found an empty key in 'space..nodes'; allowed: keys like table.key"),
        (".seed=3", "--set: found an empty key in '.seed'"),
        ('space={""=3}', "--set: found an empty key in 'space.'"),
        ("seed=3\nspace.nodes=3", "--set seed: found more than a value in '3\\nspace.nodes=3'; allowed: one"),
        (f"seed={'9' * 5000}", "--set seed: found no value (Exceeds the limit"),
        (f"seed={'[' * 5000}", "--set seed: found no value (maximum recursion"),
        ("workload.file=a\0b", "--set workload.file: found 'a\\x00b'; allowed: a file's name"),
    ],
)
def test_a_wrong_setting_is_one_line(path: Path, setting: str, told: str) -> None:
    """As in the file."""
    assert complaint(path, "seed = 1", setting).startswith(told)


# -- variants -------------------------------------------------------------------------------------

TWO = """\
seed = 5
[space]
nodes = 3
[[variant]]
name = "back"
set = {"lookup.policy" = "backward"}
[[variant]]
name = "old kernel"
set = {"space.kernel" = "6.9", "workload.mix.find" = 0.6, "workload.mix.insert_batch" = 0.1}
"""


def test_variants_differ_in_what_they_set(path: Path) -> None:
    """Each is the base with its own keys, under its name; kernels decide for each variant by itself."""
    path.write_text(TWO, encoding="utf-8")
    file = load_scenarios(path)
    back, old = file.variants
    assert (back.name, old.name) == ("back", "old kernel")
    assert back.scenario == file.base
    assert back.varied == {"lookup.policy": "backward"}
    assert (old.scenario.seed, old.scenario.space.nodes, old.scenario.lookup.policy) == (5, 3, "forward")
    assert old.scenario.workload.mix.insert_batch == 0.1
    assert file.base.workload.mix.insert_batch == 0.0


def test_settings_change_what_variants_start_from(path: Path) -> None:
    """They hold for the base and for every variant that does not set the same key itself."""
    path.write_text(TWO, encoding="utf-8")
    file = load_scenarios(path, ['space.kernel="7.1"', "space.nodes=4"], seed=9)
    assert [variant.scenario.seed for variant in file.variants] == [9, 9]
    assert [variant.scenario.space.nodes for variant in file.variants] == [4, 4]
    assert [variant.scenario.space.kernel for variant in file.variants] == ["7.1", "6.9"]


@pytest.mark.parametrize(
    "given", ['{"space.nodes" = 5}', "{space = {nodes = 5}}", "{space.nodes = 5}"], ids=["dotted", "table", "inner"]
)
def test_a_table_that_a_variant_sets_merges_into_the_one_that_is_there(path: Path, given: str) -> None:
    """However it is written, the other keys of the table stay, and `varied` has the keys of single values."""
    path.write_text(f'[space]\nzone_pages = 2\n[[variant]]\nname = "a"\nset = {given}', encoding="utf-8")
    (variant,) = load_scenarios(path, ["space={kernel='6.9'}"]).variants
    space = variant.scenario.space
    assert (space.nodes, space.zone_pages, space.kernel) == (5, 2, "6.9")
    assert variant.varied == {"space.nodes": 5}


def test_a_table_of_a_setting_merges_into_the_one_that_is_there(path: Path) -> None:
    """Keys beside those of the table stay, the file's and those of other settings; an empty table is no change."""
    workload = load(
        path, "[workload]\nguard = false", "workload.preload_areas=7", "workload={operations=10}", "workload={}"
    ).workload
    assert (workload.guard, workload.preload_areas, workload.operations) == (False, 7, 10)


def test_a_setting_that_no_variant_would_take_is_refused(path: Path) -> None:
    """A key that every variant sets itself, by `--set` or `--seed`, in a table or not; not one that some leave."""
    text = "".join(
        f'[[variant]]\nname = "{name}"\nset = {{lookup = {{policy = "{name}"}}, seed = 3{more}}}\n'
        for name, more in (("home", ""), ("scatter", ", space.nodes = 2"))
    )
    for setting in ("lookup.policy=forward", "lookup={policy='forward', extra=2}"):
        told = complaint(path, text, setting)
        assert told.startswith("--set lookup.policy: found a value, and every variant of scenario.toml sets it; ")
    with pytest.raises(BadInput, match=r"--set seed: .* every variant of scenario\.toml"):
        load(path, text, seed=1)
    load(path, text, "space.nodes=3", "lookup.extra=2")


def test_a_byte_order_mark_is_no_part_of_the_text(path: Path) -> None:
    """Some editors begin UTF-8 files with one."""
    assert load(path, "\ufeffseed = 3").seed == 3


def test_a_file_whose_values_python_cannot_read_is_no_toml(path: Path) -> None:
    """Numbers of too many digits and tables that are too deep."""
    for text in (f"seed = {'9' * 5000}", f"seed = {'[' * 5000}", "seed = \0"):
        assert complaint(path, text).endswith("; allowed: a TOML file")


def test_a_plain_file_has_no_variants(path: Path) -> None:
    """The base is all there is."""
    path.write_text("", encoding="utf-8")
    assert load_scenarios(path).variants == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("variant = 3", "variant: found 3; allowed: [[variant]] tables"),
        ("variant = [3]", "variant 1: found 3; allowed: a table with name and set"),
        ("[[variant]]", "variant 1: name: found None; allowed: a name of its own that can be a folder's"),
        ('[[variant]]\nname = ""', "variant 1: name: found ''; allowed: a name of its own"),
        ('[[variant]]\nname = ".."', "variant 1: name: found '..'; allowed: a name of its own"),
        ('[[variant]]\nname = "a/b"', "variant 1: name: found 'a/b'; allowed: a name of its own"),
        (
            '[[variant]]\nname = "a"\n[[variant]]\nname = "a"',
            "variant 2: name: found 'a'; allowed: a name of its own",
        ),
        (
            '[[variant]]\nname = "a"\nsets = {}',
            "variant 1: sets: found an unknown key; allowed: name, set",
        ),
        ('[[variant]]\nname = "a"\nset = 3', "variant 1: set: found 3; allowed: a table of"),
        (
            '[[variant]]\nname = "a"\nset = {"space.nodes" = 0}',
            "variant 'a': space.nodes: found 0; allowed: an integer from 1 to 1024",
        ),
        (
            'seed = 1\n[[variant]]\nname = "a"\nset = {"seed.x" = 0}',
            "variant 1: seed.x: found the value 1 at seed; allowed: a table there",
        ),
        (
            '[[variant]]\nname = "a"\nset = {"space..nodes" = 0}',
            "variant 1: set: found an empty key in 'space..nodes'; allowed: keys like table.key",
        ),
        ('[[variant]]\nname = "a"\n[[variant]]\nname = "A"', "variant 2: name: found 'A'; allowed: a name of"),
        *(
            (f"[[variant]]\nname = '{name}'", f"variant 1: name: found {name!r}; allowed: a name of its own")
            for name in ("results.json", "LOG.jsonl", " a", "a ", "a\tb", "a:b")
        ),
    ],
)
def test_a_wrong_variant_is_one_line(path: Path, text: str, told: str) -> None:
    """It names the variant, by number or by name, and the key."""
    assert complaint(path, text).startswith(told)


# -- round trip -----------------------------------------------------------------------------------

tables = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**63),
        "space": st.fixed_dictionaries(
            {},
            optional={
                "nodes": st.integers(1, 1024),
                "zone_pages": st.integers(1, 2**20),
                "page_size": st.sampled_from([4096, 65536]),
                "kernel": st.sampled_from(list(KERNELS)),
            },
        ),
        "lookup": st.fixed_dictionaries(
            {}, optional={"policy": st.sampled_from(["bounded", "home"]), "extra": st.integers(0, 9)}
        ),
        "batch": st.fixed_dictionaries(
            {}, optional={"strategy": st.sampled_from(["global", "per-area"]), "areas": st.integers(1, 99)}
        ),
        "workload": st.fixed_dictionaries(
            {},
            optional={
                "pages": st.lists(st.integers(1, 99), min_size=2, max_size=2).map(sorted),
                "guard": st.booleans(),
                "mix": st.just({"find": 0.25, "insert": 0.25, "unlink": 0.5}),
            },
        ),
    },
)


@given(tables)
def test_a_resolved_scenario_is_itself_again(table: dict[str, Any]) -> None:
    """As plain tables and back it is the same scenario; what was given is unchanged in it."""
    scenario = structure(table, "table")
    resolved = unstructure(scenario)
    assert structure(resolved, "table") == scenario
    assert unstructure(structure(resolved, "table")) == resolved
    for name, given_values in table.items():
        if isinstance(given_values, dict):
            kept = {key: resolved[name][key] for key in given_values if key != "mix"}
            assert kept == {key: value for key, value in given_values.items() if key != "mix"}


@pytest.mark.parametrize(("folder", "table"), [(policies, Lookup), (strategies, Batch)])
def test_the_reference_names_all_that_a_parameter_is_for(folder: ModuleType, table: type) -> None:
    """Whoever has a field of the table's, such as `chunk`, stands in its description."""
    keys = {attribute.name for attribute in fields(table)}
    things = {name: registry.offered(folder, name) for name in registry.names(folder)}
    fitting = [
        name
        for name, thing in things.items()
        if isinstance(thing, type) and has(thing) and keys & {one.name for one in fields(thing)}
    ]
    assert fitting
    assert [name for name in fitting if f"`{name}`" not in (table.__doc__ or "")] == []


def test_a_presets_name_is_no_files() -> None:
    """The reference says of `costs.preset` what it is, and how to list them."""
    assert '| `preset` | string | `""` | a preset\'s name, as in `./dev list presets` |' in scenario_page()
