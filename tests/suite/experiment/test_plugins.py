"""Algorithms and families that are not part of offmap: used as ours are, and what is wrong with one is one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_texts import ALGORITHM, FAMILY, PENDULUM

from algorithms.registry import ALGORITHMS, SHOWN, get_algorithm
from suite.cli.plugin_option import moved_to_the_front
from suite.errors import UserError
from suite.executors.code_snapshot import launched_code
from suite.experiment import plugins
from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand
from suite.experiment.plugins import declare_plugins_of, kept, stop_using, use_kept_plugins, use_plugins
from suite.run.agents import load_agent
from tasks.registry import families, get_family, get_split, make_batch
from tasks.splits import BUILDERS

ROOT = Path(__file__).parents[3]
EXPERIMENT = """
name: mine
plugins: [./mine.py]
splits: [point-goal.ood]
algorithms: [{name: steady, train: {action: 0.5}}, "null"]
budget: smoke
protocol: {max_tasks: 2}
"""


@pytest.fixture(autouse=True)
def nothing_stays_in_use():
    """As every test finds the registries, it leaves them."""
    before = list(ALGORITHMS), families(), list(BUILDERS)
    yield
    for module in list(plugins._IN_USE):
        stop_using(module)
    SHOWN.clear()
    assert (list(ALGORITHMS), families(), list(BUILDERS)) == before


@pytest.fixture
def home(tmp_path):
    """A folder with an experiment and the plugin that it names."""
    (tmp_path / "mine.py").write_text(ALGORITHM)
    (tmp_path / "mine.yaml").write_text("loud: {train: {action: 1}}")
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    return tmp_path


def lab(folder, **modules):
    """An installed package `my_lab` with these modules, each an entry point of both groups; its folder."""
    (folder / "my_lab").mkdir()
    (folder / "my_lab" / "__init__.py").write_text("raise RuntimeError('imported to look around')")
    info = folder / "my_lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 1.0\n")
    points = "".join(f"{name} = my_lab.{name}\n" for name in modules)
    (info / "entry_points.txt").write_text(f"[offmap.algorithms]\n{points}")
    for name, text in modules.items():
        (folder / "my_lab" / f"{name}.py").write_text(text)
    return folder


def offmap(*words, path=(), expect=0):
    """What the command line prints in a process of its own, with more folders to import from."""
    return python("-m", "suite.cli", *words, path=path, expect=expect)


def python(*words, path=(), expect=0):
    """What Python prints in a process of its own, with more folders to import from."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path)))}
    command = [sys.executable, "-P", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + (done.stderr if expect else "")


# Algorithms ----------------------------------------------------------------------------------------------------------


def test_an_algorithm_of_a_file_is_expanded_configured_and_refused_as_ours_are(home):
    steady, null = expand(load_experiment(home / "experiment.yaml"))
    assert steady.training.config == {"precision": "fp32", "action": 0.5}
    assert steady.metatests[-1].hash != null.metatests[-1].hash
    loud = [{"name": "steady", "preset": "loud"}]
    cells = expand(load_experiment(home / "experiment.yaml", [f"algorithms={json.dumps(loud)}"]))
    assert cells[0].training.config["action"] == 1
    with pytest.raises(UserError, match="steady has no preset 'lout'; did you mean loud"):
        expand(load_experiment(home / "experiment.yaml", ["algorithms.steady.preset=lout"]))
    with pytest.raises(UserError, match=r"steady\.train: acton is not a known key; did you mean action"):
        expand(load_experiment(home / "experiment.yaml", ["algorithms.steady.train.acton=1"]))


def test_its_runs_bring_a_copy_along_with_which_their_agents_are_loaded(home, run_here):
    folder, _ = run_here(load_experiment(home / "experiment.yaml"), home / "out")
    (copy,) = (home / "out").glob("plugins/*/mine.py")
    assert copy.read_text() == ALGORITHM
    assert copy.with_suffix(".yaml").exists()
    assert str(home) not in (folder / "execution.json").read_text()
    stop_using("offmap_plugin_mine")
    moved = (home / "out").rename(home / "elsewhere")
    (home / "mine.py").unlink()
    assert load_agent(moved / folder.name).action == 0.5
    assert get_algorithm("steady").path.is_relative_to(moved)


def test_the_looks_of_a_results_folder_are_read_without_importing_anything(tmp_path):
    from reports import style

    (tmp_path / "plugins" / "0123456789ab").mkdir(parents=True)
    copy = tmp_path / "plugins" / "0123456789ab" / "mine.py"
    copy.write_text(ALGORITHM.replace("trains_on=(), ", "") + "\nraise RuntimeError('imported')\n")
    (copy.parent / "broken.py").write_text("def")
    (copy.parent / "deep.py").write_text("ALGORITHMS = " + 200 * "(" + 200 * ")")
    (copy.parent / "odd.py").write_text(ALGORITHM.replace("#123456", "red;</style>").replace("steady", "odd"))
    declare_plugins_of(tmp_path)
    assert style.look("steady") == style.Look("Steady", "#123456", "o", "-")
    assert "odd" not in SHOWN
    with pytest.raises(UserError, match="no algorithm 'steady'"):
        get_algorithm("steady")


def test_an_edited_file_replaces_what_it_was(home):
    load_experiment(home / "experiment.yaml")
    (home / "mine.py").write_text(ALGORITHM.replace("ge=-1", "ge=0.75"))
    with pytest.raises(UserError, match=r"action.*greater than or equal to 0\.75, given 0\.5"):
        expand(load_experiment(home / "experiment.yaml"))


def test_a_run_uses_no_file_outside_its_folder(home):
    with pytest.raises(UserError, match="is not one of its copies"):
        use_kept_plugins(["../mine.py"], home / "out")
    names = kept(use_plugins(["./mine.py"], home), home / "out")
    use_kept_plugins(names, home / "out")


# Installed packages --------------------------------------------------------------------------------------------------


def test_an_installed_plugin_is_in_every_list_and_a_broken_one_stops_nothing(tmp_path):
    broken = ALGORITHM.replace("steady", "late").replace("import numpy as np", "import numpy as np\nimport no_such")
    other = ALGORITHM.replace("steady", "other")
    folder = lab(tmp_path, good=ALGORITHM, late=broken, wrong="def\n", one=other, twin=other)
    (folder / "my_lab" / "__init__.py").write_text("")
    info = folder / "my_lab-1.0.dist-info" / "entry_points.txt"
    info.write_text(info.read_text() + "gone = my_lab.gone\n[offmap.families]\narm = my_lab.good:FAMILY\n")
    document = json.loads(offmap("algorithms", "list", "--json", path=[folder]))
    assert [entry["name"] for entry in document["algorithms"]][-2:] == ["steady", "late"]
    gone, family, twin, wrong, late = document["broken"]
    assert gone == (
        "plugin my_lab.gone, the entry point 'gone' (offmap.algorithms) of my-lab: Python finds no such module; name a "
        "module that there is in the package's pyproject.toml and install it again, or uninstall it"
    )
    assert (
        "the entry point 'arm' (offmap.families) of my-lab: Python finds no such module; name a module alone, "
        in family
    )
    assert re.match("plugin late .*late.py, line 4.* cannot be imported: ModuleNotFoundError", late)
    assert re.match(".*one.py and .*twin.py both declare an algorithm 'other'", twin), "and neither is in use"
    assert re.match("plugin my_lab.wrong .*wrong.py, line 1.: invalid syntax", wrong)
    said = offmap("algorithms", "show", "nonesuch", path=[folder], expect=2)
    assert "Plugins that cannot be used: " in said
    assert "wrong.py" in said


def test_python_knows_what_is_installed_too_even_if_it_is_imported_first(tmp_path):
    folder = lab(tmp_path, good=ALGORITHM)
    (folder / "my_lab" / "__init__.py").write_text("")
    (folder / "my_lab" / "heavy.py").write_text(PENDULUM)
    info = folder / "my_lab-1.0.dist-info" / "entry_points.txt"
    info.write_text(info.read_text() + "[offmap.families]\nheavy = my_lab.heavy\n")
    ask = "print(offmap.family('pendulum-gravity').horizon, offmap.algorithm('steady').title)"
    for code in (f"import offmap; {ask}", f"import my_lab.heavy, offmap; {ask}"):
        assert python("-c", code, path=[folder]) == "50 Steady\n"


def test_a_module_is_found_without_importing_what_is_around_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(lab(tmp_path, good=ALGORITHM)))
    (plugin,) = use_plugins(["my_lab.good"], Path())
    assert get_algorithm("steady").module == "my_lab.good"
    assert kept([plugin], tmp_path / "out") == ("my_lab.good",)
    with pytest.raises(UserError, match=r"__init__.py.*RuntimeError: imported to look around|imported to look around"):
        get_algorithm("steady").load("train")


def test_what_a_cluster_runs_has_the_whole_package_of_a_module(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    monkeypatch.syspath_prepend(str(lab(tmp_path / "lab", good=ALGORITHM)))
    (tmp_path / "root" / "suite").mkdir(parents=True)
    (tmp_path / "root" / "suite" / "value.py").touch()
    first = launched_code(tmp_path / "out", "snapshot", tmp_path / "root", ["my_lab.good"])
    assert (first.folder / "my_lab" / "good.py").read_text() == ALGORITHM
    assert (first.folder / "my_lab" / "__init__.py").exists()
    (tmp_path / "lab" / "my_lab" / "good.py").write_text(ALGORITHM + "\n# changed\n")
    assert launched_code(tmp_path / "out", "snapshot", tmp_path / "root", ["my_lab.good"]).folder != first.folder


# Families ------------------------------------------------------------------------------------------------------------


def test_a_family_of_a_file_is_simulated_split_and_gymnasiums(tmp_path):
    import gymnasium

    import tasks.environments  # noqa: F401

    (tmp_path / "far.py").write_text(FAMILY)
    use_plugins(["./far.py"], tmp_path)
    assert get_family("far").name == "far-point"
    split = get_split("far.ood")
    assert split.test == ((3.5,), (4.0,))
    assert make_batch("far-point", 2).num_rows == 2
    environment = gymnasium.make("offmap/FarPoint-v1", split="ood", list_name="test")
    assert environment.reset(seed=0)[0].tolist() == [2.0, 2.0]


def test_its_runs_find_it_and_the_command_line_lists_it(tmp_path, tiny_experiment, run_here):
    (tmp_path / "far.py").write_text(FAMILY)
    use_plugins(["./far.py"], tmp_path)
    (folder,) = run_here(tiny_experiment(("null",), split="far-point.ood"), tmp_path / "out")
    stop_using("offmap_plugin_far")
    load_agent(folder)
    assert get_family("far-point")
    stop_using("offmap_plugin_far")
    assert "far-point.ood" in offmap("tasks", "list", "--plugin", tmp_path / "far.py")


# Mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "said"), [
    (None, "plugin ./mine.py: there is no file .*mine.py"),
    ("x = 1\ndef", r"mine.py, line 2\): invalid syntax"),
    ("x = 1", r"declares neither ALGORITHMS .* nor FAMILIES .*; `offmap new` writes"),
    (ALGORITHM.replace('name="steady"', 'name="mier"'), r"algorithms/mier.py and .*mine.py both declare an algorithm"),
    (ALGORITHM.replace('train="SteadyTrain"', 'train="SteadyTrian"'), "declares 'SteadyTrian', and has no such class"),
    (ALGORITHM.replace("class Steady(", "1 / 0\nclass Steady("), r"line \d+\) cannot be imported: ZeroDivisionError"),
    (ALGORITHM.replace("class Steady(", "raise SystemExit\nclass Steady("), r"line \d+\) cannot .* sys.exit\(None\)"),
    (ALGORITHM.replace('marker="o"', "marker=MARKER"), r"line 10: ALGORITHMS is a tuple .* literal values"),
    (ALGORITHM.replace('marker="o"', "marker='oo'"), r"marker has to be a marker of matplotlib, such as o, not 'oo'"),
    (FAMILY.replace("FAMILIES = (", "FAMILIES = 3\nOTHERS = ("), r"FAMILIES is a tuple of TaskFamily\(...\); given 3"),
    (FAMILY.replace("horizon=20", "horizn=20").replace("dt=1.0", "dt='fast'"),
     r"line \d+\) cannot be imported: TaskFamily: dt: Input should be a valid number[^;]*; horizn: Extra inputs are"),
    (FAMILY.replace("TaskFamily(\n", "dict(\n"), r"FAMILIES is a tuple of TaskFamily\(...\); given {"),
    (FAMILY.replace("import PointGoal", "import PointGaol"), r"line 3\) cannot be imported: ImportError"),
    (FAMILY.replace('"far-point", nickname', '"ant-goal", nickname'), "families.py and .*mine.py both declare a fam"),
    (FAMILY.replace('"null_return": -60', '"null_retrun": -60'), "SPLITS: null_retrun is not a known key"),
    (FAMILY.replace("[3.5, 4.0]", "[2.5, 4.0]"), r"SPLITS: split 'far-point.ood'.*out_of_distribution"),
])  # fmt: skip
def test_what_is_wrong_with_a_plugin_is_one_line_and_nothing_of_it_stays(home, text, said):
    (home / "mine.py").unlink() if text is None else (home / "mine.py").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        expand(load_experiment(home / "experiment.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "change"), [
    (ALGORITHM, ("ALGORITHMS = (", "ALGORITHMS: tuple[AlgorithmEntry, ...] = (")),
    (FAMILY, ("FAMILIES = (", "FAMILIES: tuple[TaskFamily, ...] = (")),
    (FAMILY, ('source="a test",\n    ),\n)', 'source="a test",\n    )\n)')),
    (FAMILY, ('"null_return": -60},\n)', '"null_return": -60}\n)')),
])  # fmt: skip
def test_a_declaration_may_be_typed_and_be_one_alone(home, text, change):
    assert text.count(change[0]) == 1
    (home / "mine.py").write_text(text.replace(*change))
    use_plugins(["./mine.py"], home)
    try:
        assert get_split("far-point.ood").references.null == -60 if text is FAMILY else get_algorithm("steady").title
    finally:
        stop_using("offmap_plugin_mine")


def test_two_files_of_one_name_in_an_experiment_are_refused(home):
    (home / "other").mkdir()
    (home / "other" / "mine.py").write_text(FAMILY)
    with pytest.raises(UserError, match=r"mine.py and .*other/mine.py have one name; rename"):
        use_plugins(["./mine.py", "./other/mine.py"], home)


def test_a_file_whose_name_cannot_be_a_module(tmp_path):
    (tmp_path / "my-file.py").touch()
    with pytest.raises(UserError, match=r"rename my-file.py"):
        use_plugins(["./my-file.py"], tmp_path)


@pytest.mark.parametrize(("given", "moved"), [
    (["run", "x.yaml", "--plugin", "a.py"], ["--plugin", "a.py", "run", "x.yaml"]),
    (["--plugin=a", "plan", "--plugin", "b", "x"], ["--plugin=a", "--plugin", "b", "plan", "x"]),
    (["run", "--plugin"], ["--plugin", "run"]),
    (["run", "--", "--plugin", "a"], ["run", "--", "--plugin", "a"]),
])  # fmt: skip
def test_the_option_may_stand_anywhere(given, moved):
    assert moved_to_the_front(given) == moved
