"""`vct smoke`: from data to table in a folder of its own, with other data where there are none."""

import re

from support import real_params


def test_a_suite_runs_to_its_table_without_its_data(project):
    params = real_params()
    experiment = params["experiments"]["ict-cifar10-ve"]
    network = {"kind": "ddpmpp", "channels": 16, "mult": [1, 1], "blocks": 1}
    experiment["train"] |= {"network": network}
    experiment |= {"variants": ["gc-vc"], "seeds": [0, 1]}
    experiment["couplings"]["gc-vc"]["base"]["encoder"] = network
    experiment["score"] = {"metric": "fid", "extractor": "small", "extras": ["kid"]}
    params |= {
        "experiments": {"photos": experiment},
        "extractors": {"small": {"kind": "classifier", "dataset": "cifar10"}},
        "suites": {"cpu": ["photos"]},
    }
    project.write_params(params)
    before = {path for path in project.folder.rglob("*") if ".snakemake" not in path.parts}
    first = project.run("vct", "smoke", "cpu", "--steps", "1", "--cores", "2")
    assert "MNIST images stand in for cifar10" in first.stderr
    # All that was made lies in the one folder.
    after = {path for path in project.folder.rglob("*") if ".snakemake" not in path.parts}
    assert {path.relative_to(project.folder).parts[0] for path in after - before} == {"smoke"}
    table = (project.folder / "smoke/cpu/results/smoke-cpu/table.md").read_text()
    assert re.search(
        r"^\| smoke-photos \| VE \| iCT \| generator-augmented \(gc-vc\) \| [\d.]+ \(1\) ",
        table,
        re.MULTILINE,
    )
    assert "FD (smoke-small)" in table and "KD (smoke-small)" in table
    assert "reference stand-in-cifar10 train, 128 items" in table
    again = project.run("vct", "smoke", "cpu", "--steps", "1", "--cores", "2")
    assert "Nothing to be done" in again.stdout + again.stderr
