# Audio features: sliding windows over the sound -> rows.
rule extract_audio:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        accepted=ancient("results/{dataset}/media/manifest.parquet"),
        weights=lambda wc: PLAN.features.weights(wc.dataset, wc.feature),
        media=lambda wc: PLAN.features.media(wc.dataset, wc.feature, wc.shard),
    output:
        "results/{dataset}/features/{feature}/{shard}.zarr/zarr.json",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/{feature}/{shard}.tsv"
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("audio")),
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
        "python -m workflow_scripts.extract_audio --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.media:q}"
        " --store results/{wildcards.dataset}/features/{wildcards.feature}/{wildcards.shard}.zarr"
        " --threads {threads} > {log:q} 2>&1"


# Several shards in one job, for features whose network starts longer than it works on one: `shards_per_job`.
use rule extract_audio as extract_audio_batch with:
    output:
        "results/{dataset}/features/{feature}/batches/{shard}.json",
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("audio")),
        shard=BATCH,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),
