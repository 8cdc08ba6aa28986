"""Pages on what was measured: the shipped tables with their provenance, and the limits of speed and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from text import code, folded, table

from reports import formats
from reports.numbers.tables import gain_table, main_table
from reports.reading.load import load
from suite.bench import commands, memory, on_policy, planning, report, rl2, scale, simulation, training
from suite.results.reference import SHIPPED, final_documents, reference_tables, rows


def pages() -> dict[str, str]:
    """The Markdown of each page."""
    return {"results.md": _results(), "speed.md": _speed()}


def _results() -> str:
    told = (SHIPPED / "README.md").read_text().partition("\n")[2].replace("../../docs/", "")
    tables = "\n".join(_table(name, folder) for name, folder in reference_tables().items())
    return f"""# Results that are shipped

Read the number of seeds before anything else: much of what is here are single runs, and comparisons that one question
called for.
{told}
## What the tables say

Returns after adaptation, with 95 % intervals over seeds where there are several ([statistics](statistics.md)). *Gain*
is over the unadapted twin ([protocol](protocol.md#what-adaptation-gained)). `cheetah-direction.draws` is a split of the
experiments' own: the two tasks of `cheetah-direction.standard` ten times each, for twenty draws of adaptation data.

{tables}"""


def _table(name: str, folder: Path) -> str:
    results = load([folder])
    main, gains = main_table(results), gain_table(results)
    cells = formats.markdown(formats.wide(main[main["declared"] > 0], ("split", "task_list")))
    gained = gains[gains["n"] > 0]
    gain = (
        f"Gain over the twin:\n\n{formats.markdown(formats.wide(gained, ('split', 'task_list')))}\n"
        if len(gained)
        else ""
    )
    provenance = [
        (code(row.variant), row.split, ", ".join(map(str, row.seeds)), ", ".join(f"{n:,}" for n in row.env_steps),
         ", ".join(map(code, row.revisions)))
        for row in rows(folder)
    ]  # fmt: skip
    made = table(("variant", "split", "seeds", "env steps", "revision"), provenance)
    return f"### {name}\n\n{cells}\n{gain}\n{folded('Where they are from', made + chr(10) + _machine(folder))}"


def _machine(folder: Path) -> str:
    """Processor, versions and wall time of the trainings of a table."""
    documents = final_documents(folder)
    kinds = {_made_by(document["provenance"]) for document in documents}
    hours = {d["training"]: d["cost"]["train_wall_seconds"] / 3600 for d in documents if d.get("cost")}
    known = [value for value in hours.values() if value is not None]
    took = f"\n\nTrainings took {sum(known):.1f} hours of wall time together.\n" if known else "\n"
    return "\n".join(f"- {kind}" for kind in sorted(kinds)) + took


def _made_by(provenance: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted((provenance.get("versions") or {}).items()))
    return f"{provenance.get('cpu')}, {provenance.get('threads')} thread of the {provenance.get('device')}: {versions}"


def _speed() -> str:
    steps = [
        ("PEARL and MIER, gradient and adaptation steps",
         f"{training.STEP_LIMIT:g} times what their own products take at the rates of large ones"),
        ("MQL, gradient step", f"{1000 * training.MQL_LIMITS['MQL step']:g} ms"),
        ("MQL, adaptation step", f"{1000 * training.MQL_LIMITS[training.MQL_SEVERAL]:g} ms per task"),
        ("MAML, outer step", f"{on_policy.LIMITS[on_policy.MAML]:g} s"),
        ("ProMP, outer step", f"{on_policy.LIMITS[on_policy.PROMP]:g} s"),
        ("RL2, a pass over 100 trials of 400 steps", f"{rl2.LIMIT:g} s"),
        ("GrBAL, planning", f"{1000 * planning.PLANNING_LIMIT:g} ms per task and environment step"),
        ("on-policy collection", f"at least {on_policy.COLLECTION_LIMIT:,} environment steps per second"),
        *[(f"{split.partition('-')[0]}, batched simulation", f"at least {share:.0%} of the raw `mj_step` rate")
          for split, share in simulation.LIMITS.items()],
        ("a run at the papers' scale, memory", f"{memory.MEMORY_LIMIT:g} GB beside its transitions"),
        ("checkpoints of 1.5 million transitions", f"{memory.CHECKPOINT_LIMIT:g} % of run time"),
        *[(f"`{name}` of {scale.RUNS:,} runs", f"{limit:g} s") for name, limit in scale.LIMITS.items()],
        ("a report of 270,000 rows, two cores", f"{report.TIME_LIMIT:g} s and {report.MEMORY_LIMIT:g} GB"),
        ("`offmap --help`", f"{commands.HELP_LIMIT:g} s"),
        ("other commands that learn nothing", f"{commands.SECONDS_LIMIT:g} s and {commands.MEMORY_LIMIT:g} MB"),
    ]  # fmt: skip
    return f"""# Speed and memory

`offmap bench` measures what is declared here, on one thread, in about four minutes of an idle machine, and leaves with
1 where a limit does not hold. Seconds are of a core that multiplies float32 matrices of 2048 x 2048 at
{training.REFERENCE_RATE:g} GFLOP/s; the same product is timed in the same run, and limits follow its rate, so that they
hold on any machine. Processor time is measured, pieces of work take turns, and the least of each counts.

{table(("what", "at most"), steps)}
How long an experiment takes, `offmap plan EXPERIMENT` says before it is run, from a short calibration on your machine.
One run has one thread; so many runs go on at once as there are cores.
"""
