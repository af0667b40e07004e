# The workflow in a container. It has not been built: no container engine was at hand.
#   docker build -t vct .
#   docker run --rm -v "$PWD/results:/vct/results" -v "$PWD/state:/vct/state" vct
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
ENV MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true DVC_NO_ANALYTICS=true
WORKDIR /vct
# First what the packages depend on: other edits do not install them again.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt -e '.[lab]'
COPY . .
CMD ["snakemake", "--cores", "all"]
