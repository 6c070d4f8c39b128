# Visual features: sampled frames -> rows.
rule extract_visual:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        accepted=ancient("results/{dataset}/media/manifest.parquet"),
        weights=lambda wc: PLAN.features.weights(wc.dataset, wc.feature),
        frames=lambda wc: PLAN.features.frame_plan(wc.dataset, wc.feature, wc.shard),
        media="results/{dataset}/media/{shard}.parquet",
    output:
        "results/{dataset}/features/{feature}/{shard}.zarr/zarr.json",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/{feature}/{shard}.tsv"
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("visual")),
    conda:
        "../envs/networks.yaml"
    threads: lambda wc: PLAN.features.runtime(wc.dataset, wc.feature).threads
    resources:
        mem_mb=lambda wc, attempt: PLAN.features.runtime(wc.dataset, wc.feature).mem_mb
        * attempt,
        gpu=lambda wc: PLAN.features.runtime(wc.dataset, wc.feature).gpu,
        runtime=lambda wc: PLAN.features.runtime(wc.dataset, wc.feature).runtime_min,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
    shell:
        "python -m workflow_scripts.extract_visual --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.frames:q} --media {input.media:q}"
        " --store results/{wildcards.dataset}/features/{wildcards.feature}/{wildcards.shard}.zarr"
        " --threads {threads} > {log:q} 2>&1"
