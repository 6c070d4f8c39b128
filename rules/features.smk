# What all features share: downloaded weights and the index over the shards.
localrules:
    index_features,


rule fetch_weights:
    output:
        f"{PLAN.weights_folder()}/{{file}}",
    log:
        "results/logs/fetch_weights/{file}.log",
    conda:
        "../envs/media.yaml"
    params:
        weight=lambda wc: PLAN.weight_of_file(wc.file),
    shell:
        "python -m workflow_scripts.fetch_weights --weight {params.weight:q} --out {output} 2>&1 | tee {log}"


rule index_features:
    input:
        lambda wc: PLAN.per_shard(
            wc.dataset,
            f"features/{PLAN.known_feature(wc.feature)}/{{shard}}.zarr/zarr.json",
        ),
    output:
        "results/{dataset}/features/{feature}/index.parquet",
    log:
        "results/{dataset}/logs/{feature}/index.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.index_features --out {output} {input} > {log} 2>&1"
