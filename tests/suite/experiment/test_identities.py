"""What was run keeps its identity: what shipped records say of their runs hashes to the names that these have."""

import pytest

from algorithms.registry import get_algorithm
from suite.experiment.expansion import training_tasks
from suite.experiment.specs import EvaluationProtocol, MetatestSpec, TrainingSpec
from suite.results.packing import packed_documents
from suite.results.reference import final_documents, reference_tables
from tasks.registry import get_family, get_split, splits

SPLITS = {split.full_name for split in splits()}  # others were declared in an experiment
DOCUMENTS = {
    run: document
    for folder in reference_tables().values()
    for run, document in packed_documents(folder).items()
    if document["split"]["full_name"] in SPLITS
}
FINAL = {document["run"] for folder in reference_tables().values() for document in final_documents(folder)}


def test_there_are_reference_records():
    assert len({document["training"] for document in DOCUMENTS.values()}) >= 20
    assert len(DOCUMENTS) >= 59


@pytest.mark.parametrize("run", DOCUMENTS)
def test_a_run_and_its_training_are_called_by_their_hashes(run):
    document = DOCUMENTS[run]
    split, entry = get_split(document["split"]["full_name"]), get_algorithm(document["algorithm"])
    assert document["split"]["hash"] == split.hash
    training = TrainingSpec(
        algorithm=entry.training, family=split.family, family_version=get_family(split.family).version,
        train_tasks=training_tasks(entry, split), config=document["config"]["train"], seed=document["seed"],
    )  # fmt: skip
    assert training.hash == document["training"]
    # What the split declares stands for "none given".
    protocol = EvaluationProtocol.model_validate(document["protocol"] | {"adaptation_transitions": None})
    assert protocol.hash == document["protocol_hash"]
    if run not in FINAL:  # a checkpoint on the way is asked for by a number of steps that an iteration overshoots
        return
    metatest = MetatestSpec(
        training=training.hash, env_steps=document["budget_env_steps"], is_final=True, algorithm=entry.name,
        split=split, protocol=protocol, config=document["config"]["adapt"],
    )  # fmt: skip
    assert metatest.hash == run
