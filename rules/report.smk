# Pages to look at: one system on one dataset, and all systems of a dataset beside each other.
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
    params:
        clips=lambda wc: PLAN.systems.clip_options(),
    shell:
        "python -m workflow_scripts.report --metrics {input.metrics:q}"
        " --run results/{wildcards.dataset}/{wildcards.system} --out {output.page:q}"
        " --pictures {output.pictures:q} {params.clips:q} > {log:q} 2>&1"


rule compare_systems:
    input:
        lambda wc: PLAN.systems.finished(wc.dataset),
    output:
        report(
            "results/{dataset}/comparison.html",
            category="{dataset}",
            subcategory="all systems",
            labels={"file": "comparison"},
        ),
    log:
        "results/{dataset}/logs/compare_systems.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.compare_systems {input:q} --out {output:q} > {log:q} 2>&1"
