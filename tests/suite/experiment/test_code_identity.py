"""What a module does has a digest; what is only written there has none."""

import pytest
from plugin_texts import ALGORITHM

from algorithms.registry import ALGORITHMS
from suite.experiment import code_identity
from suite.experiment.code_identity import changed_modules, code_of
from suite.experiment.plugins import stop_using, use_plugins
from tasks.registry import families


@pytest.fixture
def code(tmp_path):
    """A function (text of a plugin with the algorithm `steady`) -> identity of its code."""
    texts = []

    def identity(text):
        texts.append(text)
        folder = tmp_path / str(len(texts))
        folder.mkdir()
        (folder / "mine.py").write_text(text)
        use_plugins(["./mine.py"], folder)
        return code_of(["steady"], "point-goal")

    yield identity
    stop_using("offmap_plugin_mine")


def test_it_holds_what_an_algorithm_and_a_family_stand_on_and_nothing_else():
    modules = code_of(["mier"], "cheetah-velocity")["modules"]
    assert {"algorithms.mier", "algorithms.kit.replay", "algorithms.base", "tasks.environments.cheetah",
            "tasks.environments.simulation", "suite.run.metatest"} < modules.keys()  # fmt: skip
    for other in ("algorithms.pearl", "algorithms.registry", "tasks.environments.ant", "algorithms.kit.on_policy"):
        assert other not in modules
    assert code_of(["mier"], "cheetah-direction") == code_of(["mier-wr"], "cheetah-velocity")
    assert code_of(["pearl"], "cheetah-velocity")["digest"] != code_of(["mier"], "cheetah-velocity")["digest"]


def test_every_algorithm_has_one_on_every_family():
    for name, entry in ALGORITHMS.items():
        for family in families():
            modules = code_of([name], family.name)["modules"]
            assert {entry.module, family.entry_point.partition(":")[0], *code_identity.PROTOCOL} <= modules.keys()


@pytest.mark.parametrize(("old", "new"), [
    ("import numpy as np", "import numpy as np  # as everybody does"),
    ('"""The action."""', '"""What it does."""'),
    ("title=\"Steady\"", "title=\"Steadier\""),
    ('description="in every direction"', 'description="everywhere"'),
    ("    def act(self, observations, explore):", "\n\n    def act(\n        self, observations, explore\n    ):"),
])  # fmt: skip
def test_words_layout_and_looks_change_nothing(code, old, new):
    assert ALGORITHM.count(old) == 1
    assert code(ALGORITHM) == code(ALGORITHM.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [
    ("self.action, np.float32", "-self.action, np.float32"), ("default=0.0", "default=-0.0"),
    ("default=0.0", "default=0"), ("return self\n", "return None\n"),
    ("from pydantic import Field", "from pydantic import Field\nfrom algorithms.kit.replay import EpisodeStore"),
])  # fmt: skip
def test_what_is_done_changes_it_and_the_module_is_named(code, old, new):
    assert ALGORITHM.count(old) == 1
    before, after = code(ALGORITHM), code(ALGORITHM.replace(old, new))
    assert before["digest"] != after["digest"]
    assert changed_modules(after, {"code": before}) == ["offmap_plugin_mine"]
    assert changed_modules(after, {"code": after}) == []
    assert changed_modules(after, {"code": after, "earlier": [{"code": before}]}) == ["offmap_plugin_mine"]
    assert changed_modules(after, {}) == [], "made before there were identities"


def test_modules_of_a_package_are_followed_and_what_is_imported_for_types_alone_is_not(tmp_path, monkeypatch):
    package = tmp_path / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    head = "from typing import TYPE_CHECKING\nfrom my_lab import one\nfrom . import two\nfrom .three import x\n"
    (package / "algorithm.py").write_text(head + "if TYPE_CHECKING:\n    import my_lab.types_only\n" + ALGORITHM)
    for name in ("one", "two", "three", "types_only", "unused"):
        (package / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    use_plugins(["my_lab.algorithm"], tmp_path)
    try:
        modules = {name for name in code_of(["steady"], "point-goal")["modules"] if name.startswith("my_lab")}
        assert modules == {"my_lab", "my_lab.algorithm", "my_lab.one", "my_lab.two", "my_lab.three"}
    finally:
        stop_using("my_lab.algorithm")
