import dataclasses
import subprocess
import sys
from importlib import import_module

import pytest

from algorithms.registry import (
    ALGORITHMS,
    ORDER,
    InvalidRegistration,
    UnknownAlgorithm,
    get_algorithm,
    read_entries,
    training_entry,
)

GIVEN = ", ".join(f"{name}='x'" for name in ("name", "algorithm", "train", "adapt", "summary", "source"))


def test_names_lead_to_the_classes_of_their_file():
    for name, entry in ALGORITHMS.items():
        assert get_algorithm(name) is entry
        assert training_entry(entry.training).algorithm == entry.algorithm
        for attribute in ("algorithm", "train", "adapt"):
            assert entry.load(attribute).__module__ == entry.module
    with pytest.raises(UnknownAlgorithm):
        training_entry("no such training")


@pytest.mark.parametrize(("name", "hint"), [("mierr", "did you mean mier"), ("zzz", "known: mier, ")])
def test_an_unknown_algorithm_is_told_the_nearest(name, hint):
    with pytest.raises(UnknownAlgorithm, match=hint):
        get_algorithm(name)


def test_the_registry_is_read_without_torch():
    program = "import sys, algorithms.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_is_read_from_a_files_text_is_what_it_declares_when_imported():
    for name, entry in ALGORITHMS.items():
        declared = {other.name: other for other in import_module(entry.module).ALGORITHMS}
        assert entry == dataclasses.replace(declared[name], module=entry.module)
    modules = [entry.module.removeprefix("algorithms.") for entry in ALGORITHMS.values()]
    assert tuple(dict.fromkeys(modules))[: len(ORDER)] == ORDER


@pytest.mark.parametrize(("text", "complaint"), [
    ("ALGORITHMS = (AlgorithmEntry('toy'),)", "it takes keywords alone"),
    ("ALGORITHMS = (AlgorithmEntry(name=NAME),)", "line 1: .* literal values"),
    ("ALGORITHMS = (AlgorithmEntry(name='toy', colour='red'),)", "missing 5 required"),
    ("ALGORITHMS = ('toy',)", "a tuple of AlgorithmEntry"),
    (f"ALGORITHMS = (AlgorithmEntry({GIVEN}, cites='a key'),)", "a tuple of keys of BibTeX entries, not 'a key'"),
    (f"ALGORITHMS = (AlgorithmEntry({GIVEN}, cites=('a b',)),)", "a tuple of keys of BibTeX entries"),
])  # fmt: skip
def test_a_declaration_that_cannot_be_read_is_named_by_file_and_line(tmp_path, text, complaint):
    (tmp_path / "toy.py").write_text(text)
    with pytest.raises(InvalidRegistration, match=complaint) as caught:
        read_entries(tmp_path / "toy.py", "toy")
    assert str(tmp_path / "toy.py") in str(caught.value)


def test_a_file_without_a_declaration_has_no_entries(tmp_path):
    (tmp_path / "helpers.py").write_text("WORDS = ('ALGORITHMS',)")
    assert read_entries(tmp_path / "helpers.py", "helpers") == []
