# momentflow: raw videos -> features -> trained and evaluated video-moment systems.
#
#   snakemake --cores all results/demo/img/metrics.json        one system on one dataset, everything in between cached
#   snakemake --cores all results/demo/img/report.html         the same with figures and predictions on timelines
#   snakemake --cores all results/demo/features/clip_tiny/index.parquet          one feature of one dataset
#   snakemake weights --config needed_by=results/qvh/img/metrics.json            which weights that needs (also: data)
#   snakemake --cores all results/qvh/external/<name>/metrics.json               a prediction file that you bring
#
# Settings: config/ (config/README.md says what each key does). Results: results/<dataset>/.
from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/config.yaml"


# A limit on GPUs counts on this machine; on a cluster the scheduler counts.
resource_scopes:
    gpu="local",


include: "rules/common.smk"
include: "rules/fetch.smk"
include: "rules/ingest.smk"
include: "rules/frames.smk"
include: "rules/visual.smk"
include: "rules/audio.smk"
include: "rules/speech.smk"
include: "rules/text.smk"
include: "rules/features.smk"
include: "rules/systems.smk"
include: "rules/report.smk"
include: "rules/console.smk"
include: "rules/graph.smk"


onerror:
    print_if_disk_is_full()


localrules:
    all,
    weights,
    data,


rule all:
    default_target: True
    input:
        "results/demo/img/metrics.json",
        "results/demo/img/report.html",


rule weights:
    input:
        lambda wc: PLAN.preflight.listing("weights"),
    log:
        "results/logs/weights.log",
    conda:
        "envs/media.yaml"
    shell:
        "python -m workflow_scripts.list_downloads {input:q} 2>&1 | tee {log:q}"


rule data:
    input:
        lambda wc: PLAN.preflight.listing("data"),
    log:
        "results/logs/data.log",
    conda:
        "envs/media.yaml"
    shell:
        "python -m workflow_scripts.list_downloads {input:q} 2>&1 | tee {log:q}"
