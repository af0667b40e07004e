"""`vct plan SUITE` as a user meets it."""

import re

import pytest
import yaml
from support import params

from vct.lab import cli


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = {"source": "image_folder", "test": 2}
    changes = {"datasets.faces": folder, "experiments.faces": {}, "suites.all": ["small", "faces"]}
    content = params(changes)
    content["experiments"]["faces"] = pictures = dict(content["experiments"]["pictures"])
    pictures["train"] = {**pictures["train"], "dataset": "faces"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))


def planned(capsys, *arguments):
    assert cli.main(["plan", *arguments]) == 0
    return capsys.readouterr().out


def cells(out):
    lines = [line for line in out.splitlines() if line.startswith("| ")]
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(line) == len(head) for line in body)
    return {f"{line[0]}/{line[1]}": dict(zip(head, line, strict=True)) for line in body}


def test_it_prints_an_estimate_with_its_formula(here, capsys):
    out = planned(capsys, "cpu")
    assert out.startswith("ESTIMATE of what suite cpu costs.")
    assert "peak x utilisation" in out
    assert "19.5 in float32" in out and "utilisation = 0.35 (an assumption" in out
    found = cells(out)
    assert list(found) == ["small/independent", "small/variational", "pictures/ot"]
    # MLP of 2 hidden layers of 8: 24 + 72 + 17 x 16 + 18, and a last layer twice as wide.
    assert found["small/variational"]["parameters of F"] == "386"
    assert found["small/variational"]["of the encoder"] == "404"
    assert found["small/independent"]["of the encoder"] == "–"


def test_totals_are_sums_over_the_seeds(here, capsys):
    # So slow a device that three digits show.
    out = planned(capsys, "cpu", "--tflops", "1e-9", "--utilisation", "0.5")
    assert "TFLOP/s: 1e-09, as given" in out and "utilisation = 0.5 (as given)" in out
    rows = cells(out).values()
    hours = sum(float(row["device-hours"].replace(",", "")) for row in rows)
    total = re.search(r"(\d+) runs, ([\d,.]+) device-hours", out)
    assert total[1] == "5"
    assert float(total[2].replace(",", "")) == pytest.approx(hours, rel=0.01)


def test_what_is_not_known_is_said(here, capsys):
    out = planned(capsys, "all")
    assert set(list(cells(out)["faces/ot"].values())[2:]) == {"unknown"}
    assert "faces/ot: only the images of faces know their size; run: vct data faces." in out
    assert "Total (ESTIMATE): 4 runs" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cpus"], "there is no suite 'cpus'; did you mean cpu"),
        (["cpu", "--tflops", "0"], "--tflops: 0 is no peak"),
        (["cpu", "--tflops", "nan"], "--tflops: nan is no peak"),
        (["cpu", "--utilisation", "35"], "--utilisation: 35 is no share"),
    ],
)
def test_bad_words_end_in_one_sentence(here, capsys, arguments, expected):
    assert cli.main(["plan", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and expected in err and err.count("\n") == 1
