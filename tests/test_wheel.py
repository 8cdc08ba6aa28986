"""A wheel holds every file of the four packages: modules, what they read beside them, and the shipped tables."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tasks", "algorithms", "suite", "reports")


def test_the_wheel_holds_every_file_of_the_packages(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {str(path.relative_to(tmp_path)) for name in PACKAGES for path in (tmp_path / name).rglob("*.*")}
    assert {
        "reports/reference/parity/records.parquet",
        "reports/page/template.html",
        "reports/page/page.js",
        "tasks/pictures/split.py",
    } < files
    assert names == files
