"""What experiments stand for: the cells of their grids, and the identities of trainings and runs."""

import pytest
import yaml
from tests_support import GOOD, OWN, changed, written

from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.experiment.declaration import Experiment, load_experiment
from suite.experiment.expansion import expand
from suite.experiment.shipped import CONFIGS
from tasks.registry import get_family

FILES = sorted((CONFIGS / "experiments").rglob("*.yaml"))

# Grids ---------------------------------------------------------------------------------------------------------------


def test_a_grid_in_order(tmp_path):
    cells = expand(load_experiment(written(tmp_path, GOOD)))
    expected = [(variant, seed) for variant in ("mier", "plain", "pearl") for seed in (0, 1)]
    assert [(cell.variant, cell.seed) for cell in cells] == expected
    assert [cell.algorithm for cell in cells[::2]] == ["mier", "mier-wr", "pearl"]
    for cell in cells:
        milestone, final = cell.metatests
        assert (milestone.env_steps, milestone.is_final, milestone.protocol.max_tasks) == (45_000, False, 10)
        assert (final.env_steps, final.is_final, final.protocol.evaluate_every) == (50_000, True, 100)
        assert {milestone.training, final.training} == {cell.training.hash}
        assert cell.execution.milestones == (45_000,)
    assert len({cell.metatests[-1].hash for cell in cells}) == 6
    assert len({cell.training.hash for cell in cells}) == 4  # mier and its variant without relabeling share


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CONFIGS / "experiments")) for path in FILES])
def test_every_file_of_ours_expands(path):
    experiment = load_experiment(path)
    cells = expand(experiment)
    assert path.stem.startswith(experiment.name) or path.stem == experiment.name
    left_out = {(cell.algorithm, get_family(cell.split.family).varies) for cell in cells if cell.reason is not None}
    assert left_out <= {("grbal", "reward")}  # it plans with a known reward; the report shows the reason
    competing = [cell for cell in cells if not get_algorithm(cell.algorithm).is_reference]  # references run once
    assert len(competing) % (len(experiment.splits) * len(experiment.seeds)) == 0
    cells = [cell for cell in cells if cell.reason is None]
    assert all(cell.metatests for cell in cells)
    trainings = {
        (cell.training.family, cell.training.train_tasks, cell.training.algorithm, cell.seed) for cell in cells
    }
    if not experiment.axes and not any(choice.train for choice in experiment.algorithms):
        assert len({cell.training.hash for cell in cells}) == len(trainings)


def test_the_sweep_of_table_3():
    cells = expand(load_experiment(CONFIGS / "experiments" / "paper" / "table-3-sweep.yaml"))
    expected = [
        (f"mier-wr steps_per_iteration={steps} context_dim={dim} gradient_clip={clip}", steps, dim, clip)
        for steps in (1000, 2000, 4000) for dim in (5, 10) for clip in (10, 100)
    ]  # fmt: skip
    found = [
        (cell.variant, *(cell.training.config[key] for key in ("steps_per_iteration", "context_dim", "gradient_clip")))
        for cell in cells
    ]
    assert found == expected
    assert len({cell.training.hash for cell in cells}) == 12
    text = (CONFIGS / "experiments" / "paper" / "table-3-sweep.yaml").read_text()
    assert len([line for line in text.splitlines() if not line.startswith("#")]) <= 10


def test_an_axis_of_the_adaptation_shares_the_training_and_touches_no_other_variant(tmp_path):
    document = changed(axes={"mier.adapt.gate": ["total", "none"], "plain.adapt.context_steps": [1, 2, 3]}, seeds=[0])
    cells = expand(load_experiment(written(tmp_path, yaml.safe_dump(document))))
    assert [cell.variant for cell in cells] == [
        "mier gate=total", "mier gate=none", "plain context_steps=1", "plain context_steps=2", "plain context_steps=3",
        "pearl",
    ]  # fmt: skip
    assert len({cell.training.hash for cell in cells[:5]}) == 1
    assert [cell.metatests[-1].config["gate"] for cell in cells[:2]] == ["total", "none"]
    assert "gate" not in cells[2].metatests[-1].config


def test_an_axis_may_name_a_label_with_a_dot_in_it(tmp_path):
    document = changed(algorithms=[{"name": "mier-wr", "label": "v1.5"}], axes={"v1.5.train.context_dim": [2, 3]})
    cells = expand(load_experiment(written(tmp_path, yaml.safe_dump(document))))
    assert sorted({cell.variant for cell in cells}) == ["v1.5 context_dim=2", "v1.5 context_dim=3"]


# Identities ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "split", "train", "golden"), [
    ("mier", "cheetah-velocity.hard", {"model_precision": "bf16", "precision": "bf16"}, "846c7079b917"),
    ("pearl", "cheetah-velocity.standard", {"precision": "bf16"}, "a2c1f8cb7996"),
])  # fmt: skip
def test_identities_of_trainings_never_change(algorithm, split, train, golden):
    """Trainings with these names exist; a change here would orphan them."""
    for budget in (500_000, 1_500_000):
        experiment = Experiment.model_validate(
            {"name": "x", "splits": [split], "algorithms": [{"name": algorithm, "train": train}],
             "budget": {"env_steps": budget}, "device": "cuda", "checkpoint_seconds": 1}
        )  # fmt: skip
        (cell,) = expand(experiment)
        assert cell.training.hash == golden


def test_what_counts_for_a_runs_identity(tmp_path):
    def cells(**fields):
        return expand(load_experiment(written(tmp_path, yaml.safe_dump(changed(**fields)))))

    base = cells()[0]
    same_training = {
        "protocol": cells(protocol={"evaluate_every": 200})[0], "budget": cells(budget={"env_steps": 70_000})[0],
        "adapt": cells(algorithms=[{"name": "mier", "adapt": {"gate": "total"}}])[0],
    }  # fmt: skip
    for cell in same_training.values():
        assert cell.training.hash == base.training.hash
        assert cell.metatests[-1].hash != base.metatests[-1].hash
    for cell in (cells(seeds=[9])[0], cells(algorithms=[{"name": "mier", "train": {"context_dim": 3}}])[0]):
        assert cell.training.hash != base.training.hash
    for cell in (cells(description="other")[0], cells(name="other", checkpoint_seconds=1)[0]):
        assert cell.metatests[-1].hash == base.metatests[-1].hash


@pytest.mark.parametrize("algorithm", ["mier", "pearl"])
def test_splits_with_one_training_list_share_one_training(tmp_path, algorithm):
    splits = ["cheetah-velocity.hard", "cheetah-velocity.graded", "cheetah-velocity.medium"]
    document = changed(splits=splits, seeds=[0], algorithms=[algorithm], budget={"env_steps": 300_000})
    hard, graded, medium = expand(load_experiment(written(tmp_path, yaml.safe_dump(document))))
    assert hard.training.hash == graded.training.hash != medium.training.hash
    assert len({cell.metatests[-1].hash for cell in (hard, graded, medium)}) == 3


def test_own_splits_run_like_built_in_ones(tmp_path):
    text = GOOD.replace("splits: [point-goal.ood]", "splits: [point-goal.mine, point-goal.ood]") + "own_splits:" + OWN
    cells = expand(load_experiment(written(tmp_path, text)))
    assert {cell.split.full_name for cell in cells} == {"point-goal.mine", "point-goal.ood"}
    assert len(cells[0].split.train) == len(cells[0].training.train_tasks) == 30
    assert cells[0].split.test == ((4.5,), (5.0,))


def test_an_own_tuning_split_is_held_against_the_own_benchmark_splits_beside_it(tmp_path):
    common = {"family": "point-goal", "shift": "out_of_distribution", "adaptation_transitions": 40}
    far = common | {"name": "far", "train": {"uniform": [[0.0, 1.0], [2.0, 3.0]], "number": 9, "seed": 1},
                    "test": {"values": [1.5]}, "test_id": {"values": [0.25]}}  # fmt: skip
    tuning = common | {
        "name": "near",
        "train": {"values": [0.1, 0.2]},
        "test": {"values": [2.9]},
        "tunes": ["far", "ood"],
    }
    document = changed(splits=["point-goal.near", "point-goal.far"], own_splits=[tuning, far])
    cells = expand(load_experiment(written(tmp_path, yaml.safe_dump(document))))
    assert {cell.split.full_name: cell.split.role for cell in cells} == {
        "point-goal.near": "tuning", "point-goal.far": "benchmark",
    }  # fmt: skip
    gap = tuning | {"test": {"values": [1.2]}}
    touching = tuning | {"train": {"values": [0.1, 0.25]}}
    for broken, said in (
        (gap, "point-goal.far (angle in 0 to 1 or 2 to 3 rad)"),
        (touching, "test_id list of point-goal.far"),
    ):
        with pytest.raises(UserError) as caught:
            expand(load_experiment(written(tmp_path, yaml.safe_dump(changed(own_splits=[broken, far])))))
        assert said in str(caught.value)


def test_a_splits_family_may_be_given_by_its_nickname(tmp_path):
    document = changed(splits=["cheetah-vel.mine", "cheetah-vel.hard"], budget={"env_steps": 300_000}, own_splits=[
        {"family": "cheetah-vel", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 200,
         "train": {"same_as": "cheetah-vel.hard.train"}, "test": {"values": [3.5]}}])  # fmt: skip
    cells = expand(load_experiment(written(tmp_path, yaml.safe_dump(document))))
    assert {cell.split.full_name for cell in cells} == {"cheetah-velocity.mine", "cheetah-velocity.hard"}
    assert len({cell.training.hash for cell in cells if cell.algorithm == "mier" and cell.seed == 0}) == 1


# Budgets of single algorithms ----------------------------------------------------------------------------------------


def cells_of(*choices, **fields):
    declared = {
        "name": "x",
        "splits": ["point-goal.ood"],
        "algorithms": choices,
        "budget": {"env_steps": 5000},
    } | fields
    return expand(Experiment.model_validate(declared))


def test_an_algorithm_may_have_a_budget_of_its_own():
    mier, pearl = cells_of("mier", {"name": "pearl", "budget": {"env_steps": 6000, "milestones": [5000]}})
    assert (mier.execution.env_steps, pearl.execution.env_steps) == (5000, 6000)
    assert [test.env_steps for test in pearl.metatests] == [5000, 6000]


def test_variants_that_share_a_training_share_the_largest_budget():
    mier, without = cells_of("mier", {"name": "mier-wr", "budget": {"env_steps": 4000}})
    assert mier.training == without.training
    assert mier.execution == without.execution
    assert (mier.execution.env_steps, mier.execution.milestones) == (5000, (4000,))
    assert [(test.env_steps, test.is_final) for test in without.metatests] == [(4000, True)]


def test_a_milestone_of_one_variant_is_not_the_end_of_another():
    long = {"name": "pearl", "label": "long", "budget": {"env_steps": 6000, "milestones": [5000]}}
    with pytest.raises(UserError, match="'pearl' and 'long' have the same configuration"):
        cells_of("pearl", long, protocol={}, milestone_protocol={})
