# The report of one system on one dataset.
rule report:
    input:
        metrics="results/{dataset}/{system}/metrics.json",
        runs=lambda wc: PLAN.systems.evaluations(wc.dataset, wc.system),
        media=lambda wc: ancient(
            PLAN.jobs.file(
                "probe_media", dataset=PLAN.systems.videos(wc.dataset, wc.system)
            )
        ),
    output:
        page=report(
            "results/{dataset}/{system}/report.html",
            category="{dataset}",
            subcategory="{system}",
            labels={"file": "report"},
        ),
        pictures=directory("results/{dataset}/{system}/report_files"),
    log:
        "results/{dataset}/logs/{system}/report.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.report --metrics {input.metrics:q}"
        " --run results/{wildcards.dataset}/{wildcards.system} --out {output.page:q}"
        " --pictures {output.pictures:q} > {log:q} 2>&1"
