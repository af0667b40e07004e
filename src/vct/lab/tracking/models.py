"""The final model of a run in MLflow's form: loadable by `mlflow.pyfunc`, registered by suite."""

import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.tracking.files import RunFiles
from vct.lab.tracking.names import SAMPLES
from vct.lab.tracking.store import load

NAME = "model"
LOADER = "vct.lab.tracking.pyfunc"
NEEDED = ("model.safetensors", "metrics.json")
LIBRARIES = ("torch", "numpy", "scipy", "safetensors", "pydantic")
"""That the model needs beside this project, which is on no registry."""


def ensure(client: Any, run: str, experiment: str, files: RunFiles) -> str | None:
    """The id of the logged model of an MLflow run, made if it is not there; None before scoring.

    Raises:
        UserError: if the weights are damaged, or what builds the model is not here.
    """
    found = _logged(client, run, experiment, files) or _adopted(client, run, experiment, files)
    if found is not None and found.status == "READY":
        return str(found.model_id)
    if not all((files.results / name).exists() for name in NEEDED) or _restores(files):
        return None
    with TemporaryDirectory() as place:
        data = Path(place) / "export"
        data.mkdir()
        _export(files, data)
        # One that is there was given up half-way.
        model = found or client.create_logged_model(
            experiment, NAME, source_run_id=run, tags=_of(files)
        )
        _upload(client, run, model, data)
    return str(model.model_id)


def _restores(files: RunFiles) -> bool:
    """Whether it makes images of given ones: MLflow asks its models for a number of samples."""
    from vct.lab import records
    from vct.lab.settings.run import RunSettings

    record = records.read(records.RunRecord, files.results / "config.json")
    try:
        parts = RunSettings.model_validate(record.settings).coupling.parts()
    except ValueError:  # of another version; building it says so
        return False
    return any(part.from_data for part in parts)


def _of(files: RunFiles) -> dict[str, str]:
    """The tag that says of which samples the scores of a model are."""
    return {SAMPLES: files.samples_sha256} if files.samples_sha256 else {}


def _logged(client: Any, run: str, experiment: str, files: RunFiles) -> Any | None:
    """The model that draws the samples that were scored: another average is another model."""
    models = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    mine = (model for model in models if model.tags.get(SAMPLES) == files.samples_sha256)
    return next(mine, None)


def _adopted(client: Any, run: str, experiment: str, files: RunFiles) -> Any | None:
    """The model of a run that was sent before its samples were noted, which it is of."""
    if SAMPLES in client.get_run(run).data.tags:
        return None
    models = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    found = next((model for model in models if SAMPLES not in model.tags), None)
    if found is not None and (tags := _of(files)):
        client.set_logged_model_tags(found.model_id, tags)
    return found


def _export(files: RunFiles, folder: Path) -> None:
    from vct.lab.reuse import export
    from vct.lab.reuse.model import LoadedModel

    try:
        export.fill(LoadedModel.of(files.results), folder)
    except UserError:
        raise
    except Exception as error:  # in own classes, say
        raise UserError(f"the model of {files.run} cannot be built here ({error}).") from error


def _upload(client: Any, run: str, model: Any, data: Path) -> None:
    """Log the export in `data` in MLflow's form."""
    mlflow, folder = load(), data.with_name(NAME)
    of = mlflow.models.Model(
        artifact_path=model.artifact_location,
        run_id=run,
        model_id=model.model_id,
        model_uuid=model.model_id,
    )
    with warnings.catch_warnings():  # it wants an example of the input, which is a number
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            folder,
            loader_module=LOADER,
            data_path=str(data),
            mlflow_model=of,
            signature=_signature(mlflow),
            pip_requirements=[f"{name}=={version(name)}" for name in LIBRARIES],
        )
    client.log_model_artifacts(model.model_id, str(folder))
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(model.model_id, 0)])
    client.finalize_logged_model(model.model_id, "READY")


def _signature(mlflow: Any) -> Any:
    types = mlflow.types
    params = [
        types.ParamSpec("steps", types.DataType.long, None),
        types.ParamSpec("seed", types.DataType.long, 0),
        types.ParamSpec("prior", types.DataType.string, "standard"),
        types.ParamSpec("label", types.DataType.long, None),
    ]
    return mlflow.models.ModelSignature(params=types.ParamSchema(params))


def has_scores(client: Any, model: str) -> bool:
    """Whether the scores of its samples are known of a logged model."""
    return bool(client.get_logged_model(model).metrics)


# --- the registry ------------------------------------------------------------------------------


def alias(run: RunId) -> str:
    """What the newest version of a run is called: `models:/SUITE@ALIAS`."""
    return f"{run.experiment}-{run.coupling}-seed{run.seed}"


def register(
    client: Any, suite: str, files: RunFiles, mlflow_run: str, scores: dict[str, str]
) -> None:
    """A version under the model `suite`, with its scores as tags; only where there is none.

    Args:
        scores: by name.
    """
    experiment, run = client.get_run(mlflow_run).info.experiment_id, files.run
    model = _logged(client, mlflow_run, experiment, files)
    if model is None or model.status != "READY":
        return
    _ensure_registered(client, suite)
    of_run = client.search_model_versions(f"name = '{suite}' and run_id = '{mlflow_run}'")
    known = [
        each
        for each in of_run
        if each.tags.get(SAMPLES, each.source) in (files.samples_sha256, model.artifact_location)
    ]
    tags = {"experiment": run.experiment, "coupling": run.coupling, "seed": str(run.seed), **scores}
    tags |= _of(files)
    if known:
        version = known[0]
        for key, value in tags.items() - dict(version.tags).items():
            client.set_model_version_tag(suite, version.version, key, value)
    else:
        version = client.create_model_version(
            suite,
            model.artifact_location,  # models:/ID is looked up in the default store of a process
            run_id=mlflow_run,
            tags=tags,
            model_id=model.model_id,
            description=f"Final model of {run}",
        )
    if alias(run) not in client.get_model_version(suite, version.version).aliases:
        client.set_registered_model_alias(suite, alias(run), version.version)


def _ensure_registered(client: Any, suite: str) -> None:
    mlflow = load()
    try:
        client.create_registered_model(
            suite, description=f"Final models of the runs of suite {suite}, a version for each."
        )
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
