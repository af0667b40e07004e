"""MLflow: what every run did, to be compared while it trains and after.

The files of a run are the truth; MLflow holds a copy that is brought up to date by sending what it
lacks. So a store that is away costs nothing: `run.send` sends later, each step once. Training and
scoring of one run are one MLflow run, found again by tags when its id is not known here.

Only `store` imports mlflow, and never in the process that trains.
"""
