"""log.jsonl: what a run did, a JSON object per line.

Its only times are those of the run's own clock: in virtual time the same run gives the same bytes.
"""

import io
from importlib.metadata import version

import structlog
from attrs import asdict

from sim.outcome import Outcome
from sim.scenario.converter import unstructure


def log_of(outcome: Outcome) -> str:
    """Give the contents of log.jsonl."""
    stream = io.StringIO()
    log = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
        engine=outcome.engine,
        seed=outcome.scenario.seed,
    )
    log.info("planned", version=version("vmapsim"), scenario=unstructure(outcome.scenario), **outcome.facts)
    for lock in outcome.recorder.locks:
        log.debug("lock", name=lock.name, acquisitions=lock.acquisitions, contended=lock.contended)
    if outcome.vmap is not None:
        for purge in outcome.vmap.purges:
            log.debug("purge_vmap_area_lazy", **asdict(purge))
        for warning, times in sorted(outcome.vmap.warnings.items()):
            log.warning("kernel", text=warning, times=times)
    for name, verdict in outcome.verdicts.items():
        tell = log.info if verdict.ok else log.error
        tell("checked", check=name, exceptions=verdict.count, first=verdict.first)
    log.info(
        "done",
        virtual_ns=outcome.virtual_ns,
        operations=outcome.recorder.operations,
        events=outcome.events,
        digest=outcome.recorder.digest(),
    )
    return stream.getvalue()
