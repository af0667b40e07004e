"""MLflow: what every run did, to be compared while it trains and after.

The files of a run are the truth; MLflow holds a copy that is brought up to date by sending what it
lacks. So a store that is away costs nothing: `delivery.send` sends later, each step once. Training
and scoring of one run are one MLflow run, found again by tags when its id is not known here; above
it stands one for its coupling, and beside them one for each suite.

Only `store` imports mlflow, and never in the process that trains.
"""
