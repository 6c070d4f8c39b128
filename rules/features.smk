# What all features share: import, comparison, and the index over the shards.
localrules:
    index_features,
    report_import,


rule index_features:
    input:
        shards=lambda wc: PLAN.features.row_shards(wc.dataset, wc.feature),
    output:
        index="results/{dataset}/features/{feature}/index.parquet",
        lost="results/{dataset}/features/{feature}/lost.json",
    log:
        "results/{dataset}/logs/{feature}/index.log",
    conda:
        "../envs/media.yaml"
    params:
        times_lost=lambda wc: PLAN.features.times_lost(wc.dataset, wc.feature),
    shell:
        "python -m workflow_scripts.index_features --out {output.index:q} --lost {output.lost:q}"
        " --times-lost {params.times_lost} {input.shards:q} > {log:q} 2>&1"


rule import_features:
    input:
        settings=lambda wc: ancient(PLAN.features.settings(wc.dataset, wc.feature)),
        rows=lambda wc: PLAN.features.import_rows(wc.dataset, wc.feature),
    output:
        marker="results/{dataset}/features/{feature}/{shard}.zarr/zarr.json",
        report="results/{dataset}/features/{feature}/{shard}.import.tsv",
    log:
        "results/{dataset}/logs/{feature}/{shard}.log",
    wildcard_constraints:
        feature=one_of(PLAN.features.imported()),
    conda:
        "../envs/networks.yaml"
    threads: lambda wc: PLAN.features.runtime(wc.dataset, wc.feature).threads
    resources:
        mem_mb=lambda wc, attempt: PLAN.features.runtime(wc.dataset, wc.feature).mem_mb
        * attempt,
        runtime=lambda wc: PLAN.features.runtime(wc.dataset, wc.feature).runtime_min,
    params:
        key=lambda wc: PLAN.features.key(wc.dataset, wc.feature),
        source=lambda wc: PLAN.features.import_source(wc.dataset, wc.feature, wc.shard),
        n_shards=lambda wc: len(PLAN.datasets.shards(wc.dataset)),
    shell:
        "python -m workflow_scripts.import_features --settings {input.settings:q} --key {params.key}"
        " --rows-of {input.rows:q} --shard {wildcards.shard} --n-shards {params.n_shards}"
        " --store results/{wildcards.dataset}/features/{wildcards.feature}/{wildcards.shard}.zarr"
        " --report {output.report:q} > {log:q} 2>&1"


rule report_import:
    input:
        lambda wc: PLAN.datasets.per_shard(
            wc.dataset, f"features/{wc.feature}/{{shard}}.import.tsv"
        ),
    output:
        "results/{dataset}/features/{feature}/import_report.tsv",
    log:
        "results/{dataset}/logs/{feature}/import_report.log",
    wildcard_constraints:
        feature=one_of(PLAN.features.imported()),
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.report_import --out {output:q} {input:q} 2>&1 | tee {log:q}"


rule compare_features:
    input:
        "results/{dataset}/features/{feature}/index.parquet",
        "results/{dataset}/features/{other}/index.parquet",
    output:
        table="results/{dataset}/compare/{feature}__{other}.parquet",
        plot=report(
            "results/{dataset}/compare/{feature}__{other}.png",
            category="Comparison of features",
        ),
        page=report(
            "results/{dataset}/compare/{feature}__{other}.html",
            category="Comparison of features",
        ),
    log:
        "results/{dataset}/logs/compare/{feature}__{other}.log",
    wildcard_constraints:
        feature=one_of(PLAN.features.names()),
        other=one_of(PLAN.features.names()),
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.compare_features {input:q} --out {output.table:q} --plot {output.plot:q}"
        " --page {output.page:q} 2>&1 | tee {log:q}"
