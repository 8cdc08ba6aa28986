import subprocess
import sys

import pytest

from algorithms.registry import ALGORITHMS, UnknownAlgorithm, get_algorithm, training_entry


def test_names_lead_to_the_classes_of_their_file():
    for name, entry in ALGORITHMS.items():
        assert get_algorithm(name) is entry
        assert training_entry(entry.training).algorithm == entry.algorithm
        for attribute in ("algorithm", "train", "adapt"):
            assert entry.load(attribute).__module__ == entry.module
    with pytest.raises(StopIteration):
        training_entry("no such training")


@pytest.mark.parametrize(("name", "hint"), [("mierr", "did you mean mier"), ("zzz", "known: mier, ")])
def test_an_unknown_algorithm_is_told_the_nearest(name, hint):
    with pytest.raises(UnknownAlgorithm, match=hint):
        get_algorithm(name)


def test_the_registry_is_read_without_torch():
    program = "import sys, algorithms.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
