"""Small files are read whole and checked: what is known by its hash holds finite numbers alone."""

import pytest

from suite.results.json_files import DamagedFile, read_finite, write_json


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_number_beyond_all_bounds_is_damage(tmp_path, number):
    path = tmp_path / "config.json"
    path.write_text(f'{{"config": {{"learning_rate": [{number}]}}}}')
    with pytest.raises(DamagedFile, match="holds a number beyond all bounds"):
        read_finite(path)


def test_anything_else_is_read_as_it_is(tmp_path):
    document = {"a": [1, 2.5, -0.0, 1e308, None, True, "Infinity"]}
    write_json(tmp_path / "config.json", document)
    assert read_finite(tmp_path / "config.json") == document
