"""Reading and writing /proc/vmallocinfo: each kind of line, real files to the byte, what is refused."""

import gzip
from pathlib import Path

import pytest

from protocol.area import VMAP_BLOCK, VMAP_RAM, Vm, VmapArea, VmStruct
from sim.traces.errors import TraceError
from sim.vmallocinfo import (
    UnpurgedLine,
    VmallocInfoLine,
    VmMapRamLine,
    VmStructLine,
    lines_of,
    read_vmallocinfo,
    write_vmallocinfo,
)

DATA = Path(__file__).parents[2] / "data"
REAL = sorted(DATA.glob("*-vmallocinfo-*.txt.gz"))

AREA = VmapArea(0xFFFF_C900_0000_E000, 0xFFFF_C900_0001_0000)
RANGE = "0xffffc9000000e000-0xffffc90000010000    8192"


def complaint(tmp_path: Path, text: str) -> str:
    path = tmp_path / "vmallocinfo"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        read_vmallocinfo(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files_come_back_to_the_byte(path: Path) -> None:
    """What a kernel printed is what is written of what was read."""
    text = gzip.decompress(path.read_bytes()).decode()

    assert write_vmallocinfo(read_vmallocinfo(path)) == text


def test_there_are_real_files() -> None:
    """The kinds of lines that real kernels printed here."""
    records = [record for path in REAL for record in read_vmallocinfo(path)]

    assert len(REAL) == 3
    assert {type(record) for record in records} == {VmStructLine, UnpurgedLine}
    assert {record.flags for record in records if isinstance(record, VmStructLine)} == {
        Vm.ALLOC,
        Vm.MAP,
        Vm.IOREMAP,
    }


LINES = [
    ("", VmStructLine(AREA)),
    (" vm_map_ram", VmMapRamLine(AREA)),
    (" unpurged vm_area", UnpurgedLine(AREA)),
    (" vmalloc", VmStructLine(AREA, flags=Vm.ALLOC)),
    (" pages=1", VmStructLine(AREA, nr_pages=1)),
    (
        " gen_pool_add_owner+0x3e/0xc0 pages=1 vmalloc N0=1",
        VmStructLine(AREA, "gen_pool_add_owner+0x3e/0xc0", nr_pages=1, flags=Vm.ALLOC, numa_pages=((0, 1),)),
    ),
    (
        " hpet_enable+0x9e/0x500 phys=0x00000000fed00000 ioremap",
        VmStructLine(AREA, "hpet_enable+0x9e/0x500", phys_addr=0xFED0_0000, flags=Vm.IOREMAP),
    ),
    (
        " xlog_alloc_log+0x12f/0x3c0 [xfs] pages=300 vmalloc vpages N0=44 N2=256",
        VmStructLine(
            AREA,
            "xlog_alloc_log+0x12f/0x3c0 [xfs]",
            nr_pages=300,
            flags=Vm.ALLOC,
            vpages=True,
            numa_pages=((0, 44), (2, 256)),
        ),
    ),
    (
        " 0xffffffffa000001b pages=1 vmalloc",
        VmStructLine(AREA, "0xffffffffa000001b", nr_pages=1, flags=Vm.ALLOC),
    ),
    (
        " bpf_map_area_mmapable_alloc+0x1/0x2 sparse",
        VmStructLine(AREA, "bpf_map_area_mmapable_alloc+0x1/0x2", flags=Vm.SPARSE),
    ),
    (
        " f+0x1/0x2 pages=1 phys=0x0000000000001000 ioremap sparse vmalloc vmap user dma-coherent vpages N0=1",
        VmStructLine(AREA, "f+0x1/0x2", 1, 4096, Vm(0x101F), True, ((0, 1),)),
    ),
]


@pytest.mark.parametrize(("words", "record"), LINES, ids=[words for words, _ in LINES])
def test_kinds_of_lines(tmp_path: Path, words: str, record: VmallocInfoLine) -> None:
    """Each part of a line, alone and with all others, in both directions."""
    path = tmp_path / "vmallocinfo"
    path.write_text(f"{RANGE}{words}\n")

    assert read_vmallocinfo(path) == [record]
    assert write_vmallocinfo([record]) == f"{RANGE}{words}\n"


def test_lines_of_areas() -> None:
    """What a tree holds, as the kernel shows it: no line for what is not mapped yet, or has neither vm nor RAM."""

    def busy(vm: VmStruct | None, flags: int = 0) -> VmapArea:
        return VmapArea(AREA.va_start, AREA.va_end, flags, vm)

    areas = [
        busy(VmStruct(Vm.ALLOC | Vm.NO_GUARD, "f+0x1/0x2", nr_pages=512)),
        busy(VmStruct(Vm.ALLOC, "f+0x1/0x2", nr_pages=513)),
        busy(VmStruct(Vm.IOREMAP, "g+0x1/0x2", phys_addr=4096)),
        busy(VmStruct(Vm.ALLOC | Vm.UNINITIALIZED, "h+0x1/0x2")),
        busy(None, VMAP_RAM | VMAP_BLOCK),
        busy(None),
    ]
    assert write_vmallocinfo(lines_of(areas, [AREA])) == (
        f"{RANGE} f+0x1/0x2 pages=512 vmalloc\n"
        f"{RANGE} f+0x1/0x2 pages=513 vmalloc vpages\n"
        f"{RANGE} g+0x1/0x2 phys=0x0000000000001000 ioremap\n"
        f"{RANGE} vm_map_ram\n"
        f"{RANGE} unpurged vm_area\n"
    )


def test_sizes_take_seven_columns_or_more() -> None:
    """`%7ld`: 256 MiB and a page are nine digits."""
    record = UnpurgedLine(VmapArea(0xFFFF_C900_1000_0000, 0xFFFF_C900_2000_1000))

    assert write_vmallocinfo([record]) == "0xffffc90010000000-0xffffc90020001000 268439552 unpurged vm_area\n"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no line",
        RANGE.replace("    8192", " 8192"),
        RANGE + "  vmalloc",
        RANGE + " vmalloc pages=1",
        RANGE + " vmap vmalloc",
        RANGE + " pages=0",
        RANGE + " pages=01",
        RANGE + " phys=0x0000000000000000",
        RANGE + " phys=fed00000",
        RANGE + " vmalloc N0=0",
        RANGE + " vm_map_ram vmalloc",
        RANGE + " unpurged",
        RANGE + " copy_process vmalloc",
        RANGE.upper().replace("0X", "0x"),
        RANGE.replace("0xffffc9", "0xc9"),
    ],
)
def test_lines_that_no_kernel_prints(tmp_path: Path, line: str) -> None:
    """The line's number, its beginning, and what a line looks like."""
    text = complaint(tmp_path, f"{RANGE}\n{line}\n{RANGE}\n")

    assert text.startswith(f"line 2: found {line[:20]!r}"[:-1])
    assert "; allowed: 0xSTART-0xEND BYTES, then [CALLER]" in text


@pytest.mark.parametrize(
    "addresses", ["0x0000000000000000-0x0000000000000000", "0x00000000a1b2c3d4-0x00000000f0e1d2c3"]
)
def test_hidden_addresses(tmp_path: Path, addresses: str) -> None:
    """Zeros and hashes, as others than root see them, are told from true addresses by the size."""
    assert complaint(tmp_path, f"{addresses}    8192 vmalloc\n") == (
        f"line 1: found addresses that are hidden: {addresses} for 8192 bytes; allowed: true ones: "
        "read by root, with kernel.kptr_restrict=1 or no_hash_pointers on the command line"
    )


@pytest.mark.parametrize(
    "line",
    [
        "0xffffc9000000e000-0xffffc9000000e000       0",
        "0xffffc9000000e001-0xffffc90000010001    8192",
        "0xffffc9000000e000-0xffffc9000000e800    2048",
        "0x0000000000000000-0x0000000000002000    8192",
        "0xffffffffffffe000-0xfffffffffffff001    4097",
    ],
)
def test_areas_that_cannot_be(tmp_path: Path, line: str) -> None:
    """Areas are whole pages within the space that the kernel manages."""
    assert complaint(tmp_path, f"{line}\n") == (
        f"line 1: found {line[:37]}; allowed: whole pages of 4096 bytes above 0 that end at 2**64 - 4096 or below"
    )


def test_an_empty_file(tmp_path: Path) -> None:
    """No kernel has no areas."""
    assert complaint(tmp_path, "").startswith("found no areas; allowed: the text of /proc/vmallocinfo")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    """A trace is refused at its first line."""
    assert complaint(tmp_path, "# tracer: nop\n").startswith("line 1: found '# tracer: nop'; ")
