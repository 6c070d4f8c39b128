# Frame sampling: packet timestamps (no decoding) -> which frames a network will see.
rule sample_frames:
    input:
        media="results/{dataset}/media/{shard}.parquet",
    output:
        "results/{dataset}/frames/{sampling}/{shard}.parquet",
    log:
        "results/{dataset}/logs/sample_frames/{sampling}/{shard}.log",
    conda:
        "../envs/media.yaml"
    params:
        sampling=lambda wc: PLAN.features.sampling(wc.dataset, wc.sampling),
        videos=lambda wc: PLAN.datasets.videos(wc.dataset),
    shell:
        "python -m workflow_scripts.sample_frames --media {input.media} --videos {params.videos:q}"
        " --sampling {params.sampling:q} --out {output} > {log} 2>&1"


# The same for frames that lie in folders as numbered images.
rule sample_images:
    input:
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
        described=lambda wc: PLAN.images.arguments(wc.dataset, wc.feature),
        folders=lambda wc: PLAN.images.folders(wc.dataset, wc.feature, wc.shard),
    shell:
        "python -m workflow_scripts.sample_images --shard-list {input.shard} {params.described} --out {output}"
        " > {log} 2>&1"
