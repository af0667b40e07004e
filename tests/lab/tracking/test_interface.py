"""What a person sees of MLflow: the page that opens, its columns, and what a wrong port gets."""

import json
import re
import socket

import pytest
import yaml
from support import params
from tracking_support import RUN, finish, opened, row, runs, write_log

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.report.style import coupling_colours
from vct.lab.tracking import ui
from vct.lab.tracking.app import page
from vct.lab.tracking.delivery import send
from vct.lab.tracking.store import Store
from vct.lab.tracking.view import View


def test_one_experiment_has_its_own_page_and_two_are_compared(root):
    opened(root)
    store = Store(root)
    view = View(store, ["digits", "never run"])
    assert view.address.startswith("#/experiments/1/runs?")
    store.connect().create_experiment("other", store.artifacts("other"))
    both = View(store, ["other", "digits"])
    assert both.address.startswith("#/compare-experiments/s?experiments=%5B%221%22%2C%222%22%5D&")
    for address in (view.address, both.address):
        assert "compareRunsMode=CHART" in address and "workflowType=machine_learning" in address


def test_without_a_run_the_list_of_experiments_opens(root):
    view = View(Store(root), ["digits"])
    assert view.address == "#/experiments?workflowType=machine_learning"


def test_all_runs_are_in_the_charts_with_their_scores_and_the_colour_of_their_coupling(root):
    write_log(root, [1])
    finish(root, {"steps1": {"w2": 0.5}, "steps2": {"w2": 0.4}})
    send(root, RUN)
    view = View(Store(root), ["digits"])
    (storage,) = [value for key, value in view.storage.items() if "ExperimentPage" in key]
    columns = [name for name in storage["selectedColumns"] if name.startswith("metrics")]
    assert columns == [
        f"metrics.`scores/{n} 2-Wasserstein distance`" for n in ("1 step", "2 steps")
    ]
    parent, child = row(root).info.run_id, runs(root)[0].info.run_id
    assert storage["runsExpanded"] == {parent: True} and storage["runsHiddenMode"] == "SHOW_ALL"
    colour = coupling_colours(["variational"])["variational"]
    assert view.storage["experimentRunColors"] == {parent: colour, child: colour}


def test_the_page_holds_data_and_no_markup_of_it(root, monkeypatch):
    opened(root)
    view = View(Store(root), ["digits"])
    monkeypatch.setattr(View, "storage", {"</script><b>": {"é": "</script>"}})
    text = page(view)
    assert text.count("</script>") == 1 and "<b>" not in text
    (given,) = re.findall(r"Object.entries\((.*)\)\) \{", text)
    assert json.loads(given) == view.storage
    (address,) = re.findall(r"location.replace\((.*)\);", text)
    assert json.loads(address) == f"/{view.address}"


def test_a_port_in_use_is_refused_in_a_sentence(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["track", "ui", "one", "--port", str(port)]) == 2
        with pytest.raises(UserError, match=f"port {port} is in use"):
            ui.free_port(port)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and f"port {port} is in use" in err
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    assert ui.free_port(port) == port
    with pytest.raises(UserError, match="choose another"):
        ui.free_port(70000)


def test_the_first_free_port_is_taken_if_none_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ui, "PORTS", range(port, port + 1))
        with pytest.raises(UserError, match="all in use"):
            ui.free_port(None)
    assert ui.free_port(None) == port


def test_a_suite_that_does_not_exist_opens_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params()))
    assert cli.main(["track", "ui", "on"]) == 2
    assert "one" in capfd.readouterr().err


def test_an_experiment_is_made_with_its_first_run_and_opens_with_views_for_training(root):
    client = Store(root).connect()
    assert client.get_experiment_by_name("digits") is None
    opened(root)
    kind = client.get_experiment_by_name("digits").tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_a_server_that_does_not_start_is_a_sentence(root, monkeypatch):
    monkeypatch.setattr(ui, "_command", lambda *_: ["false"])
    with pytest.raises(UserError, match="does not start at port"):
        ui.serve(Store(root), ["digits"], ui.free_port(None))
