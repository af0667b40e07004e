rule data:
    input:
        lambda wildcards: graph.raw_inputs_known(PARAMS, wildcards.dataset),
    output:
        expand("data/{{dataset}}/{file}", file=layout.DATA_FILES),
    log:
        "logs/data/{dataset}.log",
    benchmark:
        "logs/data/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=720,
    params:
        settings=lambda wildcards: config["datasets"][wildcards.dataset],
        version=versions.DATA,
    message:
        "data set {wildcards.dataset}"
    shell:
        "exec vct data {wildcards.dataset} > {log} 2>&1"


rule extractor:
    input:
        lambda wildcards: graph.files(
            *graph.extractor_inputs(PARAMS, wildcards.extractor)
        ),
    output:
        expand("results/extractors/{{extractor}}/{file}", file=layout.EXTRACTOR_FILES),
    log:
        "logs/extractors/{extractor}.log",
    benchmark:
        "logs/extractors/{extractor}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda wildcards: config["extractors"][wildcards.extractor],
        version=versions.SCORING,
    message:
        "feature extractor {wildcards.extractor}"
    shell:
        "exec vct extractor {wildcards.extractor} > {log} 2>&1"


rule statistics:
    input:
        lambda wildcards: graph.files(
            *graph.statistics_inputs(
                PARAMS,
                layout.StatisticsId(
                    wildcards.dataset, wildcards.extractor, wildcards.what
                ),
            )
        ),
    output:
        "results/statistics/{dataset}/{extractor}/{what}.safetensors",
    log:
        "logs/statistics/{dataset}/{extractor}/{what}.log",
    benchmark:
        "logs/statistics/{dataset}/{extractor}/{what}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=8000,
        runtime=120,
    params:
        version=versions.SCORING,
    message:
        "{wildcards.what} of {wildcards.dataset} in {wildcards.extractor}"
    shell:
        "exec vct statistics {wildcards.dataset}/{wildcards.extractor}/{wildcards.what} "
        "> {log} 2>&1"


# Without an input: the command itself says which file is missing, and what else can be done.
rule pretrained:
    output:
        expand("pretrained/{{checkpoint}}.{suffix}", suffix=["safetensors", "json"]),
    log:
        "logs/pretrained/{checkpoint}.log",
    benchmark:
        "logs/pretrained/{checkpoint}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    message:
        "import {wildcards.checkpoint}"
    shell:
        "exec vct import-edm pretrained/{wildcards.checkpoint}.pkl " "> {log} 2>&1"


rule tracking:
    output:
        layout.TRACKING_READY,
    log:
        "logs/tracking.log",
    benchmark:
        "logs/tracking.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "MLflow database"
    shell:
        "exec vct track init > {log} 2>&1"
