# What others publish: annotation files, archives of videos and features, videos of YouTube, weights. Large things are
# fetched only if their target is asked for. All of it runs where Snakemake runs: cluster nodes often have no internet.
# A file that is there when the workflow starts is the output of no rule unless it is the target, so that nothing, not
# even --forceall, deletes what a person put there or fetches it again.
localrules:
    fetch_annotations,
    fetch_folder,
    fetch_weights,
    fetch_youtube,
    list_youtube,


# A checkpoint, because the shards of a dataset are known only when its annotations are there.
checkpoint fetch_annotations:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file("fetch_annotations", **PLAN.downloads.named(wc.file))
        ),
    output:
        "{file}",
    log:
        "results/logs/fetch_annotations/{file}.log",
    wildcard_constraints:
        file=one_of(
            re.escape(file)
            for file in PLAN.downloads.single_files()
            if not is_kept(file)
        ),
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key(
            "fetch_annotations", **PLAN.downloads.named(wc.file)
        ),
    shell:
        "python -m workflow_scripts.fetch_annotations --settings {input.settings:q} --key {params.key}"
        " --out {output:q} > {log:q} 2>&1"


rule fetch_folder:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file("fetch_folder", dataset=wc.dataset, download=wc.download)
        ),
    output:
        "results/{dataset}/fetched/{download}.json",
    log:
        "results/{dataset}/logs/fetch_folder/{download}.log",
    wildcard_constraints:
        download="[a-z0-9_]+",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key(
            "fetch_folder", dataset=wc.dataset, download=wc.download
        ),
    shell:
        "python -m workflow_scripts.fetch_folder --settings {input.settings:q} --key {params.key} --out {output:q}"
        " > {log:q} 2>&1"


rule list_youtube:
    input:
        settings=lambda wc: ancient(PLAN.jobs.file("list_youtube", dataset=wc.dataset)),
        files=lambda wc: PLAN.datasets.annotation_files(wc.dataset),
    output:
        "results/{dataset}/youtube/ids.tsv",
    log:
        "results/{dataset}/logs/list_youtube.log",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key("list_youtube", dataset=wc.dataset),
    shell:
        "python -m workflow_scripts.list_youtube --settings {input.settings:q} --key {params.key} --out {output:q}"
        " > {log:q} 2>&1"


# The record is no output, so that it outlives a job that is started anew.
rule fetch_youtube:
    input:
        settings=lambda wc: ancient(PLAN.jobs.file("fetch_youtube", dataset=wc.dataset)),
        ids="results/{dataset}/youtube/ids.tsv",
    output:
        missing="results/{dataset}/youtube/missing.tsv",
    log:
        "results/{dataset}/logs/fetch_youtube.log",
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key("fetch_youtube", dataset=wc.dataset),
    shell:
        "python -m workflow_scripts.fetch_youtube --settings {input.settings:q} --key {params.key} --ids {input.ids:q}"
        " --record results/{wildcards.dataset}/youtube/asked.jsonl --out {output.missing:q} > {log:q} 2>&1"


rule fetch_weights:
    input:
        settings=lambda wc: ancient(
            PLAN.jobs.file(
                "fetch_weights", weights=PLAN.downloads.weights_named(wc.file)
            )
        ),
    output:
        f"{PLAN.downloads.weights_folder()}/{{file}}",
    log:
        "results/logs/fetch_weights/{file}.log",
    wildcard_constraints:
        file="(?!(?:{})$).+".format(
            one_of(map(re.escape, [*kept_weights(), *PLAN.downloads.fitted_weights()]))
        ),
    conda:
        "../envs/media.yaml"
    params:
        key=lambda wc: PLAN.jobs.key(
            "fetch_weights", weights=PLAN.downloads.weights_named(wc.file)
        ),
    shell:
        "python -m workflow_scripts.fetch_weights --settings {input.settings:q} --key {params.key}"
        " --out {output:q} > {log:q} 2>&1"
