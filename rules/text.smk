# Text features: queries -> rows; a query belongs to the shard of its video.
rule extract_text:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        weights=lambda wc: PLAN.features.weights(wc.dataset, wc.feature),
        queries="results/{dataset}/annotations/queries.parquet",
    output:
        "results/{dataset}/features/{feature}/{shard}.zarr/zarr.json",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/{feature}/{shard}.tsv"
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("text")),
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
        n_shards=lambda wc: len(PLAN.datasets.shards(wc.dataset)),
    shell:
        "python -m workflow_scripts.extract_text --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.queries:q} --shard {wildcards.shard} --n-shards {params.n_shards}"
        " --store results/{wildcards.dataset}/features/{wildcards.feature}/{wildcards.shard}.zarr"
        " --threads {threads} > {log:q} 2>&1"


# Several shards in one job, for features whose network starts longer than it works on one: `shards_per_job`.
use rule extract_text as extract_text_batch with:
    output:
        "results/{dataset}/features/{feature}/batches/{shard}.json",
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("text")),
        shard=BATCH,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        n_shards=lambda wc: len(PLAN.datasets.shards(wc.dataset)),
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),


# The lines of transcripts -> rows of the videos they belong to.
rule extract_transcript:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        weights=lambda wc: PLAN.features.weights(wc.dataset, wc.feature),
        transcripts=lambda wc: PLAN.features.transcripts(
            wc.dataset, wc.feature, wc.shard
        ),
        videos="results/{dataset}/annotations/videos.parquet",
    output:
        "results/{dataset}/features/{feature}/{shard}.zarr/zarr.json",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/{feature}/{shard}.tsv"
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("transcript")),
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
        "python -m workflow_scripts.extract_transcript --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.transcripts:q} --durations {input.videos:q}"
        " --store results/{wildcards.dataset}/features/{wildcards.feature}/{wildcards.shard}.zarr"
        " --threads {threads} > {log:q} 2>&1"


# Several shards in one job, for features whose network starts longer than it works on one: `shards_per_job`.
use rule extract_transcript as extract_transcript_batch with:
    output:
        "results/{dataset}/features/{feature}/batches/{shard}.json",
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("transcript")),
        shard=BATCH,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),
