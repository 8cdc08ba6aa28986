"""What a YAML text means here, and what is refused: by line, in one message, in no time."""

import math

import pytest
import yaml

from suite.experiment.yaml_text import MOST_VALUES, parse_yaml


@pytest.mark.parametrize(("text", "value"), [
    ("1e6", 1e6), ("-1.5e-3", -0.0015), (".5", 0.5), ("5.", 5.0), ("1_500_000", 1_500_000), ("+5", 5), ("-0", 0),
    ("0x1F", 31), ("0o17", 15), ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
    (".inf", math.inf), ("-.inf", -math.inf),
    ("yes", "yes"), ("on", "on"), ("4:00:00", "4:00:00"), ("2024-13-45", "2024-13-45"), ("0x_", "0x_"), ("1e", "1e"),
    ("'010'", "010"), ("=", "="), ("a\u00e9", "a\u00e9"),
])  # fmt: skip
def test_scalars(text, value):
    read = parse_yaml(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


def test_what_is_merged_in_gives_way_to_what_a_mapping_says_itself():
    assert parse_yaml("x: &x {a: 1, b: 1}\ny: {<<: *x, a: 2}")["y"] == {"a": 2, "b": 1}


@pytest.mark.parametrize(("text", "complaint"), [
    ("seeds: [0]\nname: x\nseeds: [1]", "the key 'seeds' stands here and in line 1; keep one of them"),
    ("a: {b: 1, b: 1}", "the key 'b' stands here and in line 1"),
    ("a: [010]", "010 begins with a zero; write 10, or 0o10 for the base of 8"),
    ("a: " + "1" * 5000, "a number of 5000 digits; at most 40 are allowed"),
    ('a: !!timestamp "x"', "the tag !!timestamp is not used here; write a plain value"),
    ("a: !!binary x", "the tag !!binary is not used here"),
    ("a: !!python/name:os.system x", "python/name:os.system is not used here"),
    ("a: !!int x", "'x' is not a whole number"),
    ("a: !!float yes", "'yes' is not a number"),
    ("a: !!bool 1", "'1' is neither true nor false"),
    ('a: "\\ud800"', "holds half of a character"),
    ("a: &a [*a]", "an alias stands inside of what it is an alias of"),
    ("- " * 200 + "a", "nested deeper than 40 levels"),
    ("[" * 5000, "nested deeper than 40 levels|while parsing"),
    ("? [b]\n: 2", "unhashable key"),
    ("<<: 3", "expected a mapping"),
    ("a: 1\nb", "could not find expected ':'"),
    ("x" * 2_000_000, "2,000,000 characters; at most"),
])  # fmt: skip
def test_what_is_refused_is_named_by_its_line(text, complaint):
    with pytest.raises(yaml.YAMLError, match=complaint):
        parse_yaml(text)


def test_aliases_of_aliases_are_counted_as_often_as_they_stand_for_something():
    lines = ["a0: &a0 [" + "x, " * 10 + "]"]
    lines += [f"a{level}: &a{level} [" + f"*a{level - 1}, " * 10 + "]" for level in range(1, 9)]
    with pytest.raises(yaml.YAMLError, match=f"more than {MOST_VALUES:,} values"):
        parse_yaml("\n".join(lines))
    assert len(parse_yaml("\n".join(lines[:3]))["a2"]) == 10
