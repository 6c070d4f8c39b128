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
