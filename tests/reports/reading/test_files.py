"""Labels become names of files that stay distinct and lead nowhere else."""

from reports.reading.files import file_name


def test_file_names_stay_distinct():
    assert file_name("cheetah-velocity.hard") == "cheetah-velocity.hard"
    assert file_name("a/b") != file_name("a b")
    assert "/" not in file_name("../a")
