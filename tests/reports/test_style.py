from itertools import combinations

import numpy as np
import pytest

from reports import style

# Linear-light matrices of Machado, Oliveira and Fernandes 2009 at full severity.
SIGHT = {
    "usual": np.eye(3),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
}


def linear(colour):
    channel = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)


def oklab(light):
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]) @ light.clip(0)
    lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    return lab @ np.cbrt(cones)


@pytest.mark.parametrize("sight", SIGHT)
def test_the_colours_of_any_two_algorithms_differ_for_every_eye(sight):
    for (name, one), (other, two) in combinations(style.LOOKS.items(), 2):
        distance = np.linalg.norm(oklab(SIGHT[sight] @ linear(one.colour)) - oklab(SIGHT[sight] @ linear(two.colour)))
        assert distance > 0.06, (name, other)


def test_the_colours_stand_out_on_white_and_on_the_dark_page():
    for name, look in style.LOOKS.items():
        luminance = linear(look.colour) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2.2, name
        assert (luminance + 0.05) / (linear("#1d2128") @ [0.2126, 0.7152, 0.0722] + 0.05) > 2.2, name


def test_algorithms_also_differ_without_colour():
    assert len({look.marker for look in style.LOOKS.values()}) == len(style.LOOKS)


def test_spelling_does_not_matter_and_unknown_variants_are_stable():
    assert style.look("MIER-wR") == style.look("mier_wr") == style.LOOKS["mierwr"]
    unknown = style.look("mier, two context steps")
    assert unknown.name == "mier, two context steps"
    assert unknown == style.Look("mier, two context steps", unknown.colour, unknown.marker, unknown.dashes)
    assert style.look("a variant").colour in style.OTHER_COLOURS
    assert style.look("a variant") == style.look("a variant")


PARITY = [("mier-wr bf16", "mier-wr"), ("mier-wr fp32", "mier-wr"), ("pearl bf16", "pearl"), ("pearl", "pearl")]


def hue(colour):
    return np.argsort(linear(colour)).tolist()


def test_a_label_of_its_own_takes_the_colour_of_its_algorithm():
    looks = style.looks(PARITY)
    assert [look.name for look in looks.values()] == ["mier-wr bf16", "mier-wr fp32", "PEARL", "pearl bf16"]
    assert looks["mier-wr bf16"].colour == style.LOOKS["mierwr"].colour, "the first label, where none is the plain name"
    assert looks["pearl"] == style.LOOKS["pearl"], "the plain name before all labels"
    for label, known in (("mier-wr fp32", "mierwr"), ("pearl bf16", "pearl")):
        assert looks[label].marker == style.LOOKS[known].marker
        assert looks[label].colour != style.LOOKS[known].colour
        assert hue(looks[label].colour) == hue(style.LOOKS[known].colour)
    assert style.looks(reversed(PARITY)) == looks


@pytest.mark.parametrize("known", [*style.LOOKS, "an algorithm of others"])
def test_siblings_differ_in_lightness_or_line_and_stand_out_on_both_pages(known):
    looks = style.looks([(f"{known} {number}", known) for number in range(9)]).values()
    assert len({(look.colour, look.dashes) for look in looks}) == 9
    assert len({look.hatch for look in list(looks)[:4]}) == 4
    lights = sorted({float(linear(look.colour) @ [0.2126, 0.7152, 0.0722]) for look in looks})
    assert len(lights) == 3
    assert all(brighter / darker > 1.3 for darker, brighter in zip(lights, lights[1:]))
    for light in lights:
        assert 1.05 / (light + 0.05) > 2.2
        assert (light + 0.05) / (linear("#1d2128") @ [0.2126, 0.7152, 0.0722] + 0.05) > 2.2


def test_the_hash_of_a_label_decides_where_no_algorithm_is_known():
    looks = style.looks([("tuned", ""), ("tuned more", "")])
    assert looks == {"tuned": style.look("tuned"), "tuned more": style.look("tuned more")}
    (look,) = style.looks([("told (reference)", "oracle")]).values()
    assert look == style.REFERENCES["oracle"]._replace(name="told (reference)")


def test_labels_stand_behind_the_algorithm_whose_name_they_begin_with():
    labels = ["zzz", "pearl bf16", "mier-wr fp32", "PEARL", "mier", "oracle (reference)", "mier-wr", "mierwr-2", "aaa"]
    assert style.ordered(labels) == [
        "mier", "mier-wr", "mier-wr fp32", "mierwr-2", "PEARL", "pearl bf16", "aaa", "zzz", "oracle (reference)",
    ]  # fmt: skip


def test_order():
    assert style.ordered(["b", "pearl", "a", "mier / mier-wr", "pearl"]) == ["mier / mier-wr", "pearl", "a", "b"]
    assert style.ordered_lists(["test_random", "test_id", "test"]) == ["test", "test_id", "test_random"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1234.56, "-1235"), (-431.26, "-431.3"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"),
     (-0.0001, "0.000"), (float("nan"), "–"), (0.0, "0.000")],
)  # fmt: skip
def test_numbers(value, text):
    assert style.number(value) == text


def test_intervals_share_decimals():
    assert style.interval(9.5, -3.25, 22.25) == "9.5 [-3.2, 22.2]"
    assert style.interval(9.5, float("nan"), float("nan")) == "9.50"


def test_durations():
    assert [style.duration(s) for s in (0.2, 59.6, 600, 9000, None)] == ["under 1 s", "60 s", "10 min", "2.5 h", "–"]


def test_labels_hold_no_mathematics():
    assert style.plain("a$b$") == r"a\$b\$"
    assert style.plain("_hidden") == " _hidden"


def test_long_names_lose_their_middle_in_figures():
    assert style.drawn_name(style.look("mier")) == "MIER"
    assert style.drawn_name(style.look("x" * 24)) == "x" * 24
    assert style.drawn_name(style.look("first " + "x" * 60 + " last")) == "first xxxxx…xxxxxxx last"


def test_labels_of_a_sweep_stay_apart_where_figures_have_no_room_for_them():
    names = [
        f"pearl (train.latent_dim=5, train.kl_weight={w}, adapt.updates={u})" for w in (0.1, 1.0) for u in (0, 500)
    ]
    drawn = style.shortened(names)
    assert len(set(drawn)) == 4
    assert all(len(name) <= style.MOST_DRAWN for name in drawn)
    looks = style.looks([(name, "pearl") for name in names])
    assert len({style.drawn_name(look) for look in looks.values()}) == 4
    assert {look.name for look in looks.values()} == set(names)
    two = [f"mier [learning_rate=0.{rate}, depth_of_network=3]" for rate in (1, 2)]
    assert style.shortened(two) == ["mier learning_rate=0.1", "mier learning_rate=0.2"]
    same = ["a" * 20 + str(number) + "b" * 30 for number in range(3)]
    assert len(set(style.shortened(same))) == 3
    assert style.shortened(["MIER", "mier 2"]) == ["MIER", "mier 2"]


def test_twelve_labels_of_a_sweep_keep_their_values():
    names = [
        f"mier-wr steps_per_iteration={steps} context_dim={dim} gradient_clip={clip}"
        for steps in (1000, 2000, 4000) for dim in (5, 10) for clip in (10, 100)
    ]  # fmt: skip
    drawn = style.shortened(names)
    assert drawn[:2] == ["mier-wr 1000 5 10", "mier-wr 1000 5 100"]
    assert len(set(drawn)) == 12
    short = style.shortened(["mier-wr steps_per_iteration=1000", "mier-wr steps_per_iteration=2000"])
    assert short == ["mier-wr steps_per_i=1000", "mier-wr steps_per_i=2000"]
    long = style.shortened([f"{name} learning_rate={rate}" for name in names for rate in (0.001, 0.0003)])
    assert len(set(long)) == 24
    assert max(map(len, long)) <= style.MOST_DRAWN


def test_numbers_in_names_are_in_the_order_of_numbers():
    names = ["mier dim=10", "mier dim=5", "mier dim=10 clip=1", "mier dim=0.5", "mier"]
    assert style.ordered(names) == ["mier", "mier dim=0.5", "mier dim=5", "mier dim=10", "mier dim=10 clip=1"]
