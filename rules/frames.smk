# Frame sampling: packet timestamps (no decoding) -> which frames a network will see.
rule sample_frames:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file("sample_frames", dataset=wc.dataset, sampling=wc.sampling)
        ),
        media="results/{dataset}/media/{shard}.parquet",
    output:
        "results/{dataset}/frames/{sampling}/{shard}.parquet",
    log:
        "results/{dataset}/logs/sample_frames/{sampling}/{shard}.log",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key(
            "sample_frames", dataset=wc.dataset, sampling=wc.sampling
        ),
    shell:
        "python -m workflow_scripts.sample_frames --settings {input.settings:q} --key {params.key}"
        " --media {input.media:q} --out {output:q} > {log:q} 2>&1"


# The same for frames that lie in folders as numbered images.
rule sample_images:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file("sample_images", dataset=wc.dataset, feature=wc.feature)
        ),
        shard=lambda wc: PLAN.datasets.shard_list(wc.dataset, wc.shard),
    output:
        "results/{dataset}/images/{feature}/{shard}.parquet",
    log:
        "results/{dataset}/logs/sample_images/{feature}/{shard}.log",
    wildcard_constraints:
        feature=one_of(PLAN.features.computed("visual")),
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key(
            "sample_images", dataset=wc.dataset, feature=wc.feature
        ),
        folders=lambda wc: PLAN.images.folders(wc.dataset, wc.feature, wc.shard),
    shell:
        "python -m workflow_scripts.sample_images --settings {input.settings:q} --key {params.key}"
        " --shard-list {input.shard:q} --out {output:q} > {log:q} 2>&1"
