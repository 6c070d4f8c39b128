# The same rules for all systems: train, predict, evaluate. The system is a name in config/systems/.
localrules:
    evaluate,
    collect_metrics,
    write_captions,


rule train:
    input:
        settings=lambda wc: ancient(PLAN.systems.settings(wc.dataset, wc.system)),
        annotations=lambda wc: PLAN.systems.tables(wc.dataset, wc.system),
        manifest=lambda wc: PLAN.systems.manifest(wc.dataset, wc.system),
        features=lambda wc: PLAN.systems.feature_indices(wc.dataset, wc.system),
        transcripts=lambda wc: PLAN.systems.transcripts(wc.dataset, wc.system),
        weights=lambda wc: PLAN.systems.weights(wc.dataset, wc.system),
        fit_files=lambda wc: PLAN.systems.fit_files(wc.dataset, wc.system),
        prior=lambda wc: PLAN.systems.prior_of_training(wc.dataset, wc.system, wc.seed),
    output:
        checkpoint="results/{dataset}/{system}/seed{seed}/checkpoint.safetensors",
        history="results/{dataset}/{system}/seed{seed}/history.jsonl",
    log:
        "results/{dataset}/logs/{system}/train_seed{seed}.log",
    benchmark:
        "results/{dataset}/benchmarks/{system}/train_seed{seed}.tsv"
    conda:
        "../envs/networks.yaml"
    threads: lambda wc: PLAN.systems.runtime(wc.dataset, wc.system).all_threads
    resources:
        mem_mb=lambda wc, attempt: PLAN.systems.runtime(wc.dataset, wc.system).mem_mb
        * attempt,
        gpu=lambda wc: PLAN.systems.runtime(wc.dataset, wc.system).gpu,
        runtime=lambda wc: PLAN.systems.runtime(wc.dataset, wc.system).runtime_min,
        nodes=1,
    params:
        key=lambda wc: PLAN.systems.train_key(wc.dataset, wc.system),
    shell:
        "python -m workflow_scripts.train --settings {input.settings:q} --key {params.key} --seed {wildcards.seed}"
        " --threads {threads} --nodes {resources.nodes}"
        " --out results/{wildcards.dataset}/{wildcards.system}/seed{wildcards.seed} > {log:q} 2>&1"


rule import_checkpoint:
    input:
        settings=lambda wc: ancient(PLAN.systems.settings(wc.dataset, wc.system)),
        file=lambda wc: PLAN.systems.checkpoint_file(wc.dataset, wc.system),
        annotations=lambda wc: PLAN.systems.tables(wc.dataset, wc.system),
        manifest=lambda wc: PLAN.systems.manifest(wc.dataset, wc.system),
        features=lambda wc: PLAN.systems.feature_indices(wc.dataset, wc.system),
        fit_files=lambda wc: PLAN.systems.fit_files(wc.dataset, wc.system),
    output:
        "results/{dataset}/{system}/imported/checkpoint.safetensors",
    log:
        "results/{dataset}/logs/{system}/import_checkpoint.log",
    conda:
        "../envs/networks.yaml"
    resources:
        mem_mb=lambda wc, attempt: PLAN.systems.runtime(wc.dataset, wc.system).mem_mb
        * attempt,
    params:
        key=lambda wc: PLAN.systems.train_key(wc.dataset, wc.system),
    shell:
        "python -m workflow_scripts.import_checkpoint --settings {input.settings:q} --key {params.key}"
        " --file {input.file:q} --out {output:q} 2>&1 | tee {log:q}"


rule predict:
    input:
        settings=lambda wc: ancient(PLAN.systems.settings(wc.dataset, wc.system)),
        checkpoint=lambda wc: PLAN.systems.checkpoint(wc.dataset, wc.system, wc.seed),
        annotations=lambda wc: PLAN.systems.tables(wc.dataset, wc.system),
        manifest=lambda wc: PLAN.systems.manifest(wc.dataset, wc.system),
        features=lambda wc: PLAN.systems.feature_indices(wc.dataset, wc.system),
        transcripts=lambda wc: PLAN.systems.transcripts(wc.dataset, wc.system),
        weights=lambda wc: PLAN.systems.weights(wc.dataset, wc.system),
        prior=lambda wc: PLAN.systems.prior_answers(
            wc.dataset, wc.system, wc.seed, wc.split
        ),
    output:
        answers=expand(
            "results/{{dataset}}/{{system}}/seed{{seed}}/{{split}}/answers/{task}.parquet",
            task=TASKS,
        ),
        scores="results/{dataset}/{system}/seed{seed}/{split}/query_scores.parquet",
        summary="results/{dataset}/{system}/seed{seed}/{split}/predict.json",
    log:
        "results/{dataset}/logs/{system}/predict_seed{seed}_{split}.log",
    conda:
        "../envs/networks.yaml"
    threads: lambda wc: PLAN.systems.runtime(wc.dataset, wc.system).all_threads
    resources:
        mem_mb=lambda wc, attempt: PLAN.systems.runtime(wc.dataset, wc.system).mem_mb
        * attempt,
        gpu=lambda wc: PLAN.systems.runtime(wc.dataset, wc.system).gpu,
        runtime=lambda wc: PLAN.systems.runtime(wc.dataset, wc.system).runtime_min,
        nodes=1,
    params:
        key=lambda wc: PLAN.systems.prediction_key(wc.dataset, wc.system),
    shell:
        "python -m workflow_scripts.predict --settings {input.settings:q} --checkpoint {input.checkpoint:q}"
        " --seed {wildcards.seed} --split {wildcards.split} --threads {threads} --nodes {resources.nodes}"
        " --out results/{wildcards.dataset}/{wildcards.system}/seed{wildcards.seed}/{wildcards.split} > {log:q} 2>&1"


rule evaluate:
    input:
        settings=lambda wc: ancient(PLAN.systems.settings(wc.dataset, wc.system)),
        annotations=lambda wc: PLAN.systems.tables(wc.dataset, wc.system),
        models=lambda wc: PLAN.systems.metric_models(wc.dataset, wc.system),
        answers=expand(
            "results/{{dataset}}/{{system}}/seed{{seed}}/{{split}}/answers/{task}.parquet",
            task=TASKS,
        ),
        scores="results/{dataset}/{system}/seed{seed}/{split}/query_scores.parquet",
        summary="results/{dataset}/{system}/seed{seed}/{split}/predict.json",
    output:
        metrics="results/{dataset}/{system}/seed{seed}/{split}/metrics.json",
        per_query="results/{dataset}/{system}/seed{seed}/{split}/per_query.parquet",
        per_length="results/{dataset}/{system}/seed{seed}/{split}/per_length.parquet",
    log:
        "results/{dataset}/logs/{system}/evaluate_seed{seed}_{split}.log",
    conda:
        "../envs/networks.yaml"
    params:
        key=lambda wc: PLAN.systems.evaluation_key(wc.dataset, wc.system),
    shell:
        "python -m workflow_scripts.evaluate --settings {input.settings:q}"
        " --run results/{wildcards.dataset}/{wildcards.system}/seed{wildcards.seed}/{wildcards.split}"
        " --out {output.metrics:q} > {log:q} 2>&1"


rule collect_metrics:
    input:
        lambda wc: PLAN.systems.evaluations(wc.dataset, wc.system),
    output:
        report(
            "results/{dataset}/{system}/metrics.json",
            category="{dataset}",
            subcategory="{system}",
            labels={"file": "metrics"},
        ),
    log:
        "results/{dataset}/logs/{system}/collect_metrics.log",
    conda:
        "../envs/media.yaml"
    shell:
        "python -m workflow_scripts.collect_metrics --out {output:q} {input:q} > {log:q} 2>&1"


rule write_captions:
    input:
        settings=lambda wc: ancient(PLAN.systems.settings(wc.dataset, wc.system)),
        videos=lambda wc: PLAN.systems.tables(wc.dataset, wc.system),
        answers=lambda wc: PLAN.systems.caption_answers(wc.dataset, wc.system),
    output:
        table="results/{dataset}/{system}/captions.csv",
        srt=directory("results/{dataset}/{system}/srt"),
    log:
        "results/{dataset}/logs/{system}/write_captions.log",
    conda:
        "../envs/media.yaml"
    params:
        runs=lambda wc, input: [Path(file).parents[1] for file in input.answers],
    shell:
        "python -m workflow_scripts.write_captions --settings {input.settings:q} --table {output.table:q}"
        " --srt {output.srt:q} {params.runs:q} > {log:q} 2>&1"


rule evaluate_external:
    input:
        settings=lambda wc: ancient(PLAN.external.settings(wc.dataset, wc.name)),
        file=lambda wc: PLAN.external.file(wc.dataset, wc.name),
        models=lambda wc: PLAN.external.models(wc.dataset, wc.name),
        annotations=expand(
            "results/{{dataset}}/annotations/{table}.parquet", table=TABLES
        ),
    output:
        metrics="results/{dataset}/external/{name}/metrics.json",
        per_query="results/{dataset}/external/{name}/per_query.parquet",
        per_length="results/{dataset}/external/{name}/per_length.parquet",
    log:
        "results/{dataset}/logs/external/{name}.log",
    wildcard_constraints:
        name="[a-z0-9_]+",
    conda:
        "../envs/networks.yaml"
    params:
        key=lambda wc: PLAN.external.key(wc.dataset, wc.name),
    shell:
        "python -m workflow_scripts.evaluate_external --settings {input.settings:q}"
        " --annotations results/{wildcards.dataset}/annotations --out {output.metrics:q}"
        " > {log:q} 2>&1"
