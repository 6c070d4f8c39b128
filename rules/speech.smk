# Speech: the sound of videos, or subtitle files -> transcripts with times; the sound of spoken queries -> rows.
localrules:
    collect_transcripts,
    import_transcripts,


rule transcribe:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        accepted=ancient("results/{dataset}/media/manifest.parquet"),
        weights=lambda wc: PLAN.features.weights(wc.dataset, wc.feature),
        media="results/{dataset}/media/{shard}.parquet",
    output:
        "results/{dataset}/transcripts/{feature}/{shard}.parquet",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/{feature}/{shard}.tsv"
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("speech")),
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
        "python -m workflow_scripts.transcribe --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.media:q} --out {output:q}"
        " --records results/{wildcards.dataset}/transcripts/{wildcards.feature}/{wildcards.shard}"
        " --threads {threads} > {log:q} 2>&1"


rule import_transcripts:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        videos="results/{dataset}/annotations/videos.parquet",
    output:
        "results/{dataset}/transcripts/{feature}/{shard}.parquet",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    wildcard_constraints:
        feature=one_of(PLAN.features.imported_transcripts()),
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        source=lambda wc: PLAN.features.import_source(wc.dataset, wc.feature, wc.shard),
        n_shards=lambda wc: len(PLAN.datasets.shards(wc.dataset)),
    shell:
        "python -m workflow_scripts.import_transcripts --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.videos:q} --shard {wildcards.shard} --n-shards {params.n_shards}"
        " --out {output:q} > {log:q} 2>&1"


rule collect_transcripts:
    input:
        shards=lambda wc: PLAN.features.transcript_shards(wc.dataset, wc.feature),
    output:
        index="results/{dataset}/transcripts/{feature}/index.parquet",
        lost="results/{dataset}/transcripts/{feature}/lost.json",
        srt=directory("results/{dataset}/transcripts/{feature}/srt"),
    log:
        "results/{dataset}/logs/{feature}/collect_transcripts.log",
    wildcard_constraints:
        feature=one_of(
            PLAN.features.computed("speech") + PLAN.features.imported_transcripts()
        ),
    conda:
        "../envs/media.yaml"
    params:
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),
    shell:
        "python -m workflow_scripts.collect_transcripts --index {output.index:q} --srt {output.srt:q}"
        " --lost {output.lost:q} --times-lost {params.times_lost} {input.shards:q} > {log:q} 2>&1"


rule extract_spoken:
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
        feature=one_of(PLAN.features.computed("spoken")),
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
        sounds=lambda wc: PLAN.datasets.query_sounds(wc.dataset),
    shell:
        "python -m workflow_scripts.extract_spoken --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.queries:q} --shard {wildcards.shard} --n-shards {params.n_shards}"
        " --store results/{wildcards.dataset}/features/{wildcards.feature}/{wildcards.shard}.zarr"
        " --threads {threads} > {log:q} 2>&1"


# Several shards in one job, for features whose network starts longer than it works on one: `shards_per_job`.
use rule extract_spoken as extract_spoken_batch with:
    output:
        "results/{dataset}/features/{feature}/batches/{shard}.json",
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("spoken")),
        shard=BATCH,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        n_shards=lambda wc: len(PLAN.datasets.shards(wc.dataset)),
        sounds=lambda wc: PLAN.datasets.query_sounds(wc.dataset),
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),
