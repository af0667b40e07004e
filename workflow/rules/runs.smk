rule prepare:
    input:
        lambda wildcards: graph.input_files(PARAMS, "prepare", wildcards),
    output:
        f"results/{{experiment}}/{{coupling}}/seed{{seed}}/{layout.PREPARED_FILE}",
    log:
        "logs/prepare/{experiment}/{coupling}/seed{seed}.log",
    benchmark:
        "logs/prepare/{experiment}/{coupling}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=4000,
        runtime=120,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment]["train"],
        coupling=lambda wildcards: config["experiments"][wildcards.experiment][
            "couplings"
        ][wildcards.coupling],
        version=versions.PREPARATION,
    message:
        "prepare {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed}"
    shell:
        "exec vct prepare {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed} "
        "> {log} 2>&1"


rule train:
    input:
        lambda wildcards: graph.input_files(PARAMS, "train", wildcards),
        tracking=ancient(layout.TRACKING_READY),
    output:
        expand(
            "results/{{experiment}}/{{coupling}}/seed{{seed}}/{file}",
            file=layout.TRAIN_FILES,
        ),
    log:
        "logs/train/{experiment}/{coupling}/seed{seed}.log",
    benchmark:
        "logs/train/{experiment}/{coupling}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=4000,
        runtime=1440,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment]["train"],
        coupling=lambda wildcards: config["experiments"][wildcards.experiment][
            "couplings"
        ][wildcards.coupling],
        version=lambda wildcards: graph.training_version(PARAMS, wildcards),
    message:
        "train {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed}"
    shell:
        "exec vct train {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed} "
        "> {log} 2>&1"


KEEPING = [name for name in PARAMS.experiments if graph.keeps_averages(PARAMS, name)]
if KEEPING:

    use rule train as train_keeping_averages with:
        output:
            expand(
                "results/{{experiment}}/{{coupling}}/seed{{seed}}/{file}",
                file=[*layout.TRAIN_FILES, layout.AVERAGES_FILE],
            ),
        wildcard_constraints:
            experiment="|".join(KEEPING),

    ruleorder: train_keeping_averages > train


rule prior:
    input:
        lambda wildcards: graph.input_files(PARAMS, "prior", wildcards),
    output:
        f"results/{{experiment}}/{{coupling}}/seed{{seed}}/{layout.PRIOR_FILE}",
    log:
        "logs/prior/{experiment}/{coupling}/seed{seed}.log",
    benchmark:
        "logs/prior/{experiment}/{coupling}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment]["sample"],
        version=versions.SAMPLING,
    message:
        "prior of {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed}"
    shell:
        "exec vct prior {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed} "
        "> {log} 2>&1"


rule sample:
    input:
        lambda wildcards: graph.input_files(PARAMS, "sample", wildcards),
    output:
        expand(
            "results/{{experiment}}/{{coupling}}/seed{{seed}}/{file}",
            file=layout.SAMPLE_FILES,
        ),
    log:
        "logs/sample/{experiment}/{coupling}/seed{seed}.log",
    benchmark:
        "logs/sample/{experiment}/{coupling}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=4000,
        runtime=120,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment]["sample"],
        version=versions.SAMPLING,
    message:
        "sample {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed}"
    shell:
        "exec vct sample {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed} "
        "> {log} 2>&1"


rule floor:
    input:
        lambda wildcards: graph.input_files(PARAMS, "floor", wildcards),
    output:
        "results/{experiment}/floor.json",
    log:
        "logs/floor/{experiment}.log",
    benchmark:
        "logs/floor/{experiment}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=8000,
        runtime=60,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment]["score"],
        sample=lambda wildcards: config["experiments"][wildcards.experiment]["sample"],
        version=versions.SCORING,
    message:
        "score held-out real data of {wildcards.experiment}"
    shell:
        "exec vct floor {wildcards.experiment} > {log} 2>&1"


rule score:
    input:
        lambda wildcards: graph.input_files(PARAMS, "score", wildcards),
    output:
        expand(
            "results/{{experiment}}/{{coupling}}/seed{{seed}}/{file}",
            file=layout.SCORE_FILES,
        ),
    log:
        "logs/score/{experiment}/{coupling}/seed{seed}.log",
    benchmark:
        "logs/score/{experiment}/{coupling}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=8000,
        runtime=120,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment]["score"],
        sample=lambda wildcards: config["experiments"][wildcards.experiment]["sample"],
        version=versions.SCORING,
    message:
        "score {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed}"
    shell:
        "exec vct score {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed} "
        "> {log} 2>&1"


rule diagnose:
    input:
        lambda wildcards: graph.input_files(PARAMS, "diagnose", wildcards),
    output:
        f"results/{{experiment}}/{{coupling}}/seed{{seed}}/{layout.DIAGNOSTICS_FILE}",
    log:
        "logs/diagnose/{experiment}/{coupling}/seed{seed}.log",
    benchmark:
        "logs/diagnose/{experiment}/{coupling}/seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: PARAMS.runtime.cores
    resources:
        gpu=PARAMS.runtime.gpus,
        mem_mb=8000,
        runtime=120,
    params:
        settings=lambda wildcards: config["experiments"][wildcards.experiment].get(
            "diagnostics"
        ),
        sample=lambda wildcards: config["experiments"][wildcards.experiment]["sample"],
        score=lambda wildcards: config["experiments"][wildcards.experiment]["score"],
        version=versions.DIAGNOSTICS,
    message:
        "diagnose {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed}"
    shell:
        "exec vct diagnose {wildcards.experiment}/{wildcards.coupling}/seed{wildcards.seed} "
        "> {log} 2>&1"
