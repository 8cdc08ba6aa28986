import pytest
import typer
from typer.testing import CliRunner

from reports.cli import report
from suite.errors import UserError


@pytest.fixture
def call(monkeypatch, one_figure):
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    app.command()(report)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_prints_the_table_and_the_path(golden, call):
    (golden / "x").mkdir()
    (golden / "x" / "records.parquet").write_bytes(b"broken")
    result = call(golden)
    assert result.exit_code == 0
    assert "32.5 [7.7, 57.3], n = 3" in result.stdout
    assert str(golden / "report" / "report.html") in result.stdout
    assert "left out: x/records.parquet" in result.stdout
    assert (golden / "report" / "report.html").exists()


def test_every_split_has_a_table_of_its_own_in_the_terminal(golden, synthetic, call):
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], split="cheetah-velocity.standard")
    lines = [line.rstrip() for line in call(golden).stdout.splitlines()]
    hard, standard = (lines.index(f"cheetah-velocity.{name}") for name in ("hard", "standard"))
    assert lines[hard + 2].startswith("MIER     32.5")
    assert [line[:5] for line in lines[standard + 1 : standard + 4]] == ["varia", "PEARL", ""]
    assert "not in the grid" not in "".join(lines)


def test_out_and_several_folders(tmp_path, synthetic, call):
    synthetic.simple_run(tmp_path / "a", "mier", 0, test=[[1.0]])
    synthetic.simple_run(tmp_path / "b", "pearl", 0, test=[[2.0]], protocol_hash="q" * 12)
    first = call(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert first.exit_code == 0
    assert "left out: run pearl-cheetah-velocity.hard-0: cheetah-velocity.hard: results follow 2" in first.stdout
    accepted = call(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out", "--mix")
    assert accepted.exit_code == 0
    assert "offmap report a b --mix" in (tmp_path / "out" / "report.html").read_text()


def test_the_page_and_tables_hold_what_was_asked_for_in_its_order(tmp_path, synthetic, call):
    for variant in ("mier", "pearl", "maml"):
        for split in ("a.b", "c.d"):
            synthetic.simple_run(tmp_path, variant, 0, test=[[1.0]], split=split)
    asked = ("--variant", "pearl", "--variant", "mier", "--split", "c.d", "--for", "icml", "--serif", "--siunitx")
    lines = [line.split() for line in call(tmp_path, *asked).stdout.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("MIER", "PEARL", "MAML", "a.b", "c.d")] == [
        "c.d", "PEARL", "MIER"
    ]  # fmt: skip
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"offmap report {tmp_path.name} --variant pearl --variant mier --split c.d" in page
    assert "MAML" not in page
    text = (tmp_path / "report" / "tables" / "main-test.tex").read_text()
    assert text.index("PEARL") < text.index("MIER")
    assert r"\num{1.0" in text
    assert call(tmp_path, "--for", "icml", "--width", "3").exception is not None
    assert isinstance(call(tmp_path, "--for", "icmm").exception, UserError)
    assert isinstance(call(tmp_path, "--variant", "mere").exception, UserError)


def test_a_users_mistake_is_a_user_error(tmp_path, call):
    assert isinstance(call(tmp_path / "nowhere").exception, UserError)
    assert isinstance(call(tmp_path).exception, UserError)
