# Visual features: sampled frames -> rows; and what such rows are reduced by, where nobody published it.
rule fit_pca:
    input:
        index=lambda wc: PLAN.features.fitted_on(wc.file),
    output:
        f"{PLAN.downloads.weights_folder()}/{{file}}",
    log:
        "results/logs/fit_pca/{file}.log",
    wildcard_constraints:
        file=one_of(
            re.escape(file)
            for file in PLAN.downloads.fitted_weights()
            if file not in kept_weights()
        ),
    conda:
        "../envs/networks.yaml"
    threads: 4
    resources:
        mem_mb=lambda wc, attempt: 32000 * attempt,
        runtime=240,
    shell:
        "python -m workflow_scripts.fit_pca {input.index:q} --out {output:q} 2>&1 | tee {log:q}"


rule extract_visual:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        accepted=lambda wc: ancient(PLAN.features.manifest(wc.dataset, wc.feature)),
        weights=lambda wc: PLAN.features.weights(wc.dataset, wc.feature),
        frames=lambda wc: PLAN.features.frame_plans(wc.dataset, wc.feature, wc.shard),
        media=lambda wc: PLAN.features.media(wc.dataset, wc.feature, wc.shard),
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
        mem_mb=lambda wc, attempt: PLAN.features.memory_mb(wc.dataset, wc.feature)
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


# Several shards in one job, for features whose network starts longer than it works on one: `shards_per_job`.
use rule extract_visual as extract_visual_batch with:
    output:
        "results/{dataset}/features/{feature}/batches/{shard}.json",
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("visual")),
        shard=BATCH,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),


# Several features in one job, where decoding is what takes the time: `one_pass`.
rule extract_pass:
    input:
        settings=lambda wc: ancient(PLAN.passes.settings(wc.dataset, wc.features)),
        accepted=lambda wc: ancient(PLAN.passes.manifest(wc.dataset, wc.features)),
        weights=lambda wc: PLAN.passes.weights(wc.dataset, wc.features),
        media=lambda wc: PLAN.passes.media(wc.dataset, wc.features, wc.shard),
    output:
        "results/{dataset}/passes/{features}/{shard}.json",
    log:
        "results/{dataset}/logs/passes/{features}/{shard}.log",
    benchmark:
        "results/{dataset}/benchmarks/passes/{features}/{shard}.tsv"
    wildcard_constraints:
        features=PASS,
        shard=BATCH,
    conda:
        "../envs/networks.yaml"
    threads: lambda wc: PLAN.passes.threads(wc.dataset, wc.features)
    resources:
        mem_mb=lambda wc, attempt: PLAN.passes.memory_mb(wc.dataset, wc.features)
        * attempt,
        gpu=lambda wc: PLAN.passes.gpus(wc.dataset, wc.features),
        runtime=lambda wc: PLAN.passes.runtime_min(wc.dataset, wc.features),
    params:
        key=lambda wc: PLAN.passes.keys(wc.dataset, wc.features),
    shell:
        "python -m workflow_scripts.extract_pass --record results/{wildcards.dataset}/passes.json"
        " --settings {input.settings:q} --keys {params.key} --media {input.media:q}"
        " --out {output:q} --threads {threads} > {log:q} 2>&1"
