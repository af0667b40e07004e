rule table:
    input:
        lambda wildcards: graph.table_inputs(PARAMS, wildcards.suite),
    output:
        expand("results/{{suite}}/{file}", file=layout.TABLE_FILES),
    log:
        "logs/{suite}/table.log",
    benchmark:
        "logs/{suite}/table.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rows=lambda wildcards: [
            graph.rows_of(config, name) for name in PARAMS.suite(wildcards.suite)
        ],
        suite=lambda wildcards: graph.endpoint(PARAMS, wildcards.suite),
        version=versions.REPORTING,
    message:
        "table of suite {wildcards.suite}"
    shell:
        "exec vct table {wildcards.suite} > {log} 2>&1"


rule explain:
    input:
        lambda wildcards: graph.explanation_inputs(PARAMS, wildcards.suite),
    output:
        expand("results/{{suite}}/{file}", file=layout.EXPLANATION_FILES[:2]),
        report(
            expand("results/{{suite}}/{file}", file=layout.EXPLANATION_FILES[2:]),
            caption="../report/explanation.rst",
            category="Diagnostics",
        ),
    log:
        "logs/{suite}/explain.log",
    benchmark:
        "logs/{suite}/explain.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rows=lambda wildcards: [
            graph.rows_of(config, name) for name in PARAMS.suite(wildcards.suite)
        ],
        suite=lambda wildcards: graph.endpoint(PARAMS, wildcards.suite),
        version=versions.REPORTING,
    message:
        "diagnostics of suite {wildcards.suite}"
    shell:
        "exec vct explain {wildcards.suite} > {log} 2>&1"


rule figures:
    input:
        lambda wildcards: graph.figure_inputs(PARAMS, wildcards.experiment),
    output:
        report(
            "results/{suite}/{experiment}-samples.png",
            caption="../report/samples.rst",
            category="Samples",
        ),
        report(
            "results/{suite}/{experiment}-curves.png",
            caption="../report/curves.rst",
            category="Training",
        ),
    log:
        "logs/{suite}/{experiment}.log",
    benchmark:
        "logs/{suite}/{experiment}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rows=lambda wildcards: graph.rows_of(config, wildcards.experiment),
        version=versions.REPORTING,
    message:
        "figures of {wildcards.experiment}"
    shell:
        "exec vct figures {wildcards.suite}/{wildcards.experiment} > {log} 2>&1"


# Snakemake's own report shows this page beside figures, topology and run times.
rule report:
    input:
        lambda wildcards: graph.report_inputs(PARAMS, wildcards.suite),
    output:
        report(
            f"results/{{suite}}/{layout.REPORT_FILE}",
            caption="../report/page.rst",
            category="Report",
        ),
    log:
        "logs/{suite}/report.log",
    benchmark:
        "logs/{suite}/report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rows=lambda wildcards: [
            graph.rows_of(config, name) for name in PARAMS.suite(wildcards.suite)
        ],
        suite=lambda wildcards: graph.endpoint(PARAMS, wildcards.suite),
        version=versions.REPORTING,
    message:
        "report of suite {wildcards.suite}"
    shell:
        "exec vct report {wildcards.suite} > {log} 2>&1"


rule scores:
    input:
        lambda wildcards: graph.tracked_inputs(PARAMS, wildcards.suite),
        # Written again, it says nothing new.
        report=ancient(f"results/{{suite}}/{layout.REPORT_FILE}"),
    output:
        f"results/{{suite}}/{layout.TRACKED_FILE}",
    log:
        "logs/{suite}/scores.log",
    benchmark:
        "logs/{suite}/scores.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    message:
        "scores of suite {wildcards.suite} to MLflow"
    shell:
        "exec vct track scores {wildcards.suite} > {log} 2>&1"
