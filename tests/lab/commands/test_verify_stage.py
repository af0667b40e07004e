"""`vct verify` reads the runs on disk and the committed table, or says plainly why it cannot."""

import subprocess

import pytest
import yaml

from vct.lab import cli

RUN = "small/variational/seed0"
TABLE = "results/one/table.csv"


@pytest.fixture(autouse=True)
def one_run(project, monkeypatch, capsys):
    """A suite of the one finished run, with its table; outside any repository."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["experiments"]["small"] |= {"variants": ["variational"], "seeds": [0]}
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    assert [cli.main(stage) for stage in (["floor", "small"], ["table", "one"])] == [0, 0]
    capsys.readouterr()


def git(*arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def verify(capsys, *arguments):
    """Exit code and output."""
    code = cli.main(["verify", "one", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


def test_runs_that_give_the_committed_table(project, capsys):
    git("init", "-q")
    git("add", "-f", TABLE)
    git("commit", "-qm", "table")
    (project / TABLE).write_text("the runs are read, not this file")
    code, out = verify(capsys)
    assert code == 0
    assert f"{TABLE} of git's HEAD" in out and "|new mean - committed mean| <=" in out
    assert out.count("identical       small/variational ") == 13  # 3 steps x 4 metrics, variance
    assert out.endswith("one: reproduced; rows: 13 identical\n")
    (project / "results" / RUN / "metrics.json").unlink()
    assert cli.main(["verify", "one"]) == 2
    err = capsys.readouterr().err
    assert "metrics.json is missing" in err and "snakemake --cores all" in err


def test_runs_that_do_not(project, capsys):
    path = project / "committed.csv"
    lines = (project / TABLE).read_text().splitlines(keepends=True)
    path.write_text("".join(lines).replace(lines[1].split(",")[7], "123.0"))
    code, out = verify(capsys, "--against", str(path))
    assert code == 2
    assert "not comparable  small/variational w2, 1 step: 123 -> " in out
    assert "no committed row of several seeds says how much this metric may vary" in out
    assert "one: NOT reproduced; rows: 1 not comparable, 12 identical" in out
    path.write_text("".join(lines) + lines[1].replace("variational", "ot"))
    code, out = verify(capsys, "--against", str(path))
    assert code == 2
    assert "missing         small/ot w2, 1 step: the reproduction has no such row" in out


def test_without_a_table_to_compare_with(project, refused, monkeypatch):
    assert "not a git repository" in refused("verify", "one")
    git("init", "-q")
    assert f"git has no committed {TABLE}" in refused("verify", "one")
    git("commit", "-q", "--allow-empty", "-m", "nothing")
    assert "--against FILE" in refused("verify", "one")
    monkeypatch.setenv("PATH", "")
    assert "git is not installed" in refused("verify", "one")
    for name in ("nowhere.csv", "results"):
        assert f"{name} cannot be read" in refused("verify", "one", "--against", name)
    (project / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "it is no text" in refused("verify", "one", "--against", "binary.csv")


def test_an_unknown_suite(refused):
    assert "no suite 'onne'; did you mean one" in refused("verify", "onne")
    assert "git has no committed results/cpu/table.csv" in refused("verify")
