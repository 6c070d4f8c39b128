# Source annotations -> canonical tables; raw videos -> media manifest. The shard lists are written while the job graph
# is built (workflow_scripts/lib/planning/dataset_plan.py), so that a changed video touches its own shard and nothing else.
localrules:
    import_annotations,
    collect_manifest,


TABLES = [
    "videos",
    "queries",
    "moments",
    "saliency",
    "steps",
    "captions",
    "transcripts",
]


rule make_demo:
    input:
        settings=lambda wc: ancient(PLAN.jobs.file("make_demo", dataset=wc.dataset)),
    output:
        "results/{dataset}/source/videos.json",
        "results/{dataset}/source/annotations/events.json",
        expand(
            "results/{{dataset}}/source/annotations/{layout}",
            layout=[
                f"{name}_{split}.{suffix}"
                for name, suffix in (
                    ("highlight", "jsonl"),
                    ("hirest", "json"),
                    ("captions", "json"),
                )
                for split in ("train", "val", "test")
            ],
        ),
    log:
        "results/{dataset}/logs/make_demo.log",
    conda:
        "../envs/media.yaml"
    threads: 2
    params:
        key=lambda wc: PLAN.jobs.key("make_demo", dataset=wc.dataset),
    shell:
        "python -m workflow_scripts.make_demo --settings {input.settings:q} --key {params.key}"
        " --out results/{wildcards.dataset}/source --jobs {threads} > {log:q} 2>&1"


# With `strict_annotations` a job of its own refuses odd spans: Snakemake removes what a job is about to make before it
# starts, so a refusal while importing would cost the tables that are there.
rule check_annotations:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file("check_annotations", dataset=wc.dataset)
        ),
        files=lambda wc: PLAN.datasets.annotation_files(wc.dataset),
        phrases=lambda wc: PLAN.datasets.item_files(wc.dataset),
        generated=lambda wc: PLAN.datasets.generated_by(wc.dataset),
        durations=lambda wc: PLAN.datasets.durations_from(wc.dataset),
    output:
        "results/{dataset}/annotations/strict_check.txt",
    log:
        "results/{dataset}/logs/check_annotations.log",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key("check_annotations", dataset=wc.dataset),
    shell:
        "python -m workflow_scripts.check_annotations --settings {input.settings:q} --key {params.key}"
        " --dataset {wildcards.dataset} --manifest {input.durations:q} --out {output:q} > {log:q} 2>&1"


rule import_annotations:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file("import_annotations", dataset=wc.dataset)
        ),
        files=lambda wc: PLAN.datasets.annotation_files(wc.dataset),
        phrases=lambda wc: PLAN.datasets.item_files(wc.dataset),
        generated=lambda wc: PLAN.datasets.generated_by(wc.dataset),
        durations=lambda wc: PLAN.datasets.durations_from(wc.dataset),
        checked=lambda wc: PLAN.datasets.strict_check(wc.dataset),
    output:
        expand("results/{{dataset}}/annotations/{table}.parquet", table=TABLES),
    log:
        "results/{dataset}/logs/import_annotations.log",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key("import_annotations", dataset=wc.dataset),
    shell:
        "python -m workflow_scripts.import_annotations --settings {input.settings:q} --key {params.key}"
        " --dataset {wildcards.dataset} --manifest {input.durations:q} --out results/{wildcards.dataset}/annotations"
        " > {log:q} 2>&1"


rule probe_media:
    input:
        settings=lambda wc: ancient(PLAN.jobs.file("probe_media", dataset=wc.dataset)),
        shard=lambda wc: PLAN.datasets.shard_list(wc.dataset, wc.shard),
        generated=lambda wc: PLAN.datasets.generated_by(wc.dataset),
    output:
        "results/{dataset}/media/{shard}.parquet",
    log:
        "results/{dataset}/logs/probe_media/{shard}.log",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key("probe_media", dataset=wc.dataset),
    shell:
        "python -m workflow_scripts.probe_media --settings {input.settings:q} --key {params.key}"
        " --shard-list {input.shard:q} --out {output:q} > {log:q} 2>&1"


rule collect_manifest:
    input:
        shards=lambda wc: PLAN.datasets.per_shard(wc.dataset, "media/{shard}.parquet"),
    output:
        "results/{dataset}/media/manifest.parquet",
    log:
        "results/{dataset}/logs/collect_manifest.log",
    conda:
        "../envs/media.yaml"
    params:
        on_bad_video=lambda wc: PLAN.datasets.on_bad_video(wc.dataset),
    shell:
        "python -m workflow_scripts.collect_manifest --on-bad-video {params.on_bad_video} --out {output:q}"
        " {input.shards:q} > {log:q} 2>&1"


rule compare_durations:
    input:
        videos="results/{dataset}/annotations/videos.parquet",
        manifest="results/{dataset}/media/manifest.parquet",
    output:
        "results/{dataset}/media/duration_differences.tsv",
    log:
        "results/{dataset}/logs/compare_durations.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.compare_durations --videos {input.videos:q} --manifest {input.manifest:q}"
        " --out {output:q} 2>&1 | tee {log:q}"


rule map_charades_ids:
    input:
        text="results/charades/annotations/queries.parquet",
        tvr="results/charades_tvr/annotations/queries.parquet",
    output:
        "results/charades/annotations/charades_qid_map.parquet",
    log:
        "results/charades/logs/map_charades_ids.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.map_charades_ids --text {input.text:q} --tvr {input.tvr:q} --out {output:q}"
        " 2>&1 | tee {log:q}"
