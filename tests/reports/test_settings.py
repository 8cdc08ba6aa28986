"""A report is the same bytes whoever makes it: no setting of a user's counts, nor how many processes draw."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import contextlib, locale, sys
from pathlib import Path
with contextlib.suppress(locale.Error):
    locale.setlocale(locale.LC_ALL, "")
from reports import report
from reports.figures.catalogue import FIGURES
from reports.reading.load import load
report.FIGURES = tuple(kind for kind in FIGURES if kind.name in ("overall", "out_of_distribution", "per_task"))
report.write(load(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
"""

RC = """
text.usetex: True
font.size: 31
font.family: serif
figure.constrained_layout.use: True
figure.autolayout: True
axes.titlelocation: right
axes.titley: 0.2
axes.unicode_minus: False
lines.linewidth: 9
patch.force_edgecolor: True
savefig.bbox: tight
savefig.dpi: 20
savefig.transparent: True
path.simplify: False
pdf.fonttype: 3
pdf.compression: 0
svg.fonttype: none
svg.hashsalt: mine
timezone: Asia/Kathmandu
backend: module://nowhere
"""

HOSTILE = {
    "MPLBACKEND": "module://nowhere_at_all", "LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "de",
    "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1", "COLUMNS": "20", "OMP_NUM_THREADS": "2",
    "PYTHONUTF8": "0", "NO_COLOR": "1",
}  # fmt: skip


def digests(folder, out, workers, environment, home):
    """The SHA-256 of every file of a report, by its path, made by a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in HOSTILE}
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-P", "-c", CODE, str(folder), str(out), str(workers)]
    subprocess.run(command, cwd=home, env=kept | environment | {"PYTHONPATH": path}, check=True)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_no_setting_of_a_user_and_no_number_of_workers_changes_a_byte(large, tmp_path):
    large.large_folder(tmp_path / "runs", tuple(large.SPLITS)[:3], range(2), steps=(500_000,), num_tasks=4)
    home = tmp_path / "home"
    (home / "stylelib").mkdir(parents=True)
    for name in ("matplotlibrc", "stylelib/default.mplstyle", "stylelib/classic.mplstyle"):
        (home / name).write_text(RC)
    hostile = HOSTILE | {"MATPLOTLIBRC": str(home / "matplotlibrc"), "MPLCONFIGDIR": str(home), "HOME": str(home)}
    plain = digests(tmp_path / "runs", tmp_path / "plain", 1, {"PYTHONHASHSEED": "0"}, tmp_path)
    assert {"report.html", "figures/per_task.pdf", "figures/overall.png", "tables/main-test.tex"} <= plain.keys()
    assert digests(tmp_path / "runs", tmp_path / "theirs", 2, hostile, home) == plain
