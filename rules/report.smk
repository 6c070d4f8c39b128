# The report of one system on one dataset.
rule report:
    input:
        metrics="results/{dataset}/{system}/metrics.json",
        runs=lambda wc: PLAN.systems.evaluations(wc.dataset, wc.system),
    output:
        "results/{dataset}/{system}/report.html",
    log:
        "results/{dataset}/logs/{system}/report.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.report --metrics {input.metrics:q}"
        " --run results/{wildcards.dataset}/{wildcards.system} --out {output:q} > {log:q} 2>&1"
