"""Run the benchmarks: `python -m tests.bench [NAMES] [OPTIONS]`, see `--help`."""

import argparse
import json
import platform
from pathlib import Path

from tests.bench.suite import NAMES, Options, run_here, section

ANY = "\n\n"


def machine() -> str:
    """Say what the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = f"{len(models)} CPUs, {models[0]}" if models else platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"Measured on {processor}, {platform.system()}, {python}."


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds [default: 5]")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the work [default: 1]")
    parser.add_argument("--trace", type=Path, action="append", default=[], help="another trace to replay")
    parser.add_argument("--long", action="store_true", help="also run 100,000,000 operations (memory)")
    parser.add_argument("--out", type=Path, help="the page whose tables are replaced [default: standard output]")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    read = parser.parse_args()
    unknown = [] if read.child else sorted({*read.names} - {*NAMES})
    if unknown:
        parser.error(f"{', '.join(unknown)}: none of {', '.join(NAMES)}")
    return read


BEGIN, END = "<!-- measured: from here to the end mark by python -m tests.bench -->", "<!-- end -->"


def written(page: str, tables: str) -> str:
    """Put the tables between the marks of a page; what people wrote around them stays."""
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        return f"{page.rstrip()}\n\n{BEGIN}\n\n{tables}\n\n{END}\n"
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def main() -> None:
    """Run what is asked for."""
    read = arguments()
    options = Options(read.scale, tuple(trace.resolve() for trace in read.trace), read.long)
    if read.child:
        name, case = read.names
        print(json.dumps(run_here(name, case, options)))
        return
    parts = [f"{machine()} Medians (least to most); ratios are within rounds."]
    for name in read.names or NAMES:
        parts.append(section(name, options, read.rounds))
        print(parts[-1], flush=True)
    if read.out is not None:
        page = read.out.read_text() if read.out.exists() else "# Performance\n"
        read.out.write_text(written(page, ANY.join(parts)))


if __name__ == "__main__":
    main()
