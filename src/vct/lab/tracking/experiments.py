"""MLflow's experiments: one for each of ours, made when its first run is sent."""

from typing import Any

from vct.lab.tracking.store import Store, load

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""So that MLflow opens it with views for trained models, not for language models."""


def find(client: Any, name: str) -> Any | None:
    """The experiment called `name`, None if there is none; also one in the bin."""
    return client.get_experiment_by_name(name)


def ensure(client: Any, store: Store, name: str) -> str:
    """The id of an experiment, made or taken out of the bin if need be."""
    found = find(client, name)
    if found is None:
        try:
            return str(client.create_experiment(name, store.artifacts(name), tags=KIND))
        except load().MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = find(client, name)  # another process was quicker
    assert found is not None
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    for key, value in KIND.items() - found.tags.items():
        client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def search(client: Any, experiment: str, wanted: dict[str, str], since: int = 0) -> Any | None:
    """The latest active run with these tags that began at `since` or later.

    Args:
        experiment: its id.
    """
    conditions = [f"tags.`{key}` = '{value}'" for key, value in wanted.items()]
    if since:
        conditions.append(f"attributes.start_time >= {since}")
    runs = client.search_runs(
        [experiment],
        " and ".join(conditions),
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return runs[0] if runs else None
