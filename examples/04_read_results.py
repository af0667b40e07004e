"""The table of a suite with pandas: which coupling is ahead, and by how many spreads."""

import sys
from pathlib import Path

import pandas as pd

suite = sys.argv[1] if len(sys.argv) > 1 else "cpu"
table = pd.read_csv(Path(__file__).parents[1] / "results" / suite / "table.csv")
primary = table.groupby("experiment")["metric"].transform("first")
scores = table[(table["metric"] == primary) & table["steps"].notna()]
wide = scores.pivot_table(
    index=["experiment", "metric", "steps"], columns="coupling", values=["mean", "sd"], sort=False
)
print(wide["mean"].round(3).to_string(), "\n")
if "sd" not in wide or "independent" not in wide["mean"]:
    sys.exit(f"suite {suite} has no row independent, or one seed of each")
baseline = wide["mean"]["independent"]
spread = (wide["sd"].pow(2).mean(axis=1)) ** 0.5
for coupling in wide["mean"].columns.drop("independent"):
    gain = (baseline - wide["mean"][coupling]) / spread
    print(f"{coupling} against independent, in spreads over seeds:")
    print(gain.dropna().round(1).to_string(), "\n")
