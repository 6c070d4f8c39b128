#!/usr/bin/env bash
# Bring up a throw-away single-host SLURM (munged + slurmctld + one or more slurmd) for tests.
#
#   eval "$(bash start.sh DIR)"     start it under DIR and export SLURM_CONF into this shell
#   bash stop.sh DIR                stop it again
#
# Needs the Debian packages slurm-wlm and munge, and root. No systemd, no cgroup, no database.
# Knobs (environment):
#   SLURM_TEST_CPUS   CPUs offered per node             (default: nproc; may be larger than the host)
#   SLURM_TEST_MEM    MB of memory offered per node     (default: half of the host's)
#   SLURM_TEST_GPUS   fake GPUs per gpu node            (default: 1; 0 switches them off)
#   SLURM_TEST_NODES  number of gpu-less extra nodes    (default: 0; needs a build with multiple-slurmd)
#   SLURM_TEST_WAIT   seconds to wait for idle nodes    (default: 30)
set -euo pipefail

dir=${1:?usage: start.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
cpus=${SLURM_TEST_CPUS:-$(nproc)}
mem=${SLURM_TEST_MEM:-$(( $(awk '/MemTotal/{print $2}' /proc/meminfo) / 2048 ))}
gpus=${SLURM_TEST_GPUS:-1}
extra=${SLURM_TEST_NODES:-0}
wait_s=${SLURM_TEST_WAIT:-30}
host=$(hostname -s)

say() { printf '%s\n' "start.sh: $*" >&2; }
die() { say "$*"; exit 1; }

for tool in munged slurmctld slurmd sinfo; do
  command -v "$tool" >/dev/null || die "$tool not found: apt-get install -y --no-install-recommends slurm-wlm munge"
done
[ "$(id -u)" = 0 ] || die "must run as root (slurmd starts jobs for other users)"
[ ! -e "$dir/slurmctld.pid" ] || die "$dir already holds a cluster: run stop.sh $dir first"

# A free port, asked from the kernel.
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

# Leave nothing running when the start fails half-way.
trap 'rc=$?; [ $rc = 0 ] || bash "$here/stop.sh" "$dir"; exit $rc' EXIT

mkdir -p "$dir"/{state,spool,log,munge}
chmod 0755 "$dir" "$dir/munge"      # munge refuses a socket folder that group or world can write to

# --- munge: our own key and socket, so a system munged is neither needed nor disturbed -------------
if [ ! -s "$dir/munge/munge.key" ]; then
  ( umask 077; head -c 1024 /dev/urandom > "$dir/munge/munge.key" )
fi
# --force: tolerate world-writable parents such as /tmp
munged --force --key-file="$dir/munge/munge.key" --socket="$dir/munge/munge.socket.2" \
       --pid-file="$dir/munge/munged.pid" --log-file="$dir/munge/munged.log" \
       --seed-file="$dir/munge/munged.seed" 2>>"$dir/log/munged.err" || die "munged failed: $(tail -3 "$dir/log/munged.err")"

# --- config -------------------------------------------------------------------------------------
nodes=""; gres=""; names="$host"; gpu_field=""
if [ "$gpus" -gt 0 ]; then
  # A gpu entry needs a device file (without one slurmd reports a count of 0 and the node goes to state "inval"),
  # and each needs its own: harmless character devices stand in for /dev/nvidia0, /dev/nvidia1, ...
  fake=(/dev/null /dev/zero /dev/full /dev/random)
  [ "$gpus" -le ${#fake[@]} ] || die "at most ${#fake[@]} fake GPUs"
  gpu_field=" Gres=gpu:$gpus"
  for i in $(seq 0 $((gpus - 1))); do gres+="NodeName=$host Name=gpu File=${fake[$i]}"$'\n'; done
fi
nodes="NodeName=$host NodeAddr=127.0.0.1 NodeHostname=$host Port=$(port) CPUs=$cpus RealMemory=$mem$gpu_field State=UNKNOWN"
cpu_names=$host
for i in $(seq 1 "$extra"); do
  nodes+=$'\n'"NodeName=cpu$i NodeAddr=127.0.0.1 NodeHostname=$host Port=$(port) CPUs=$cpus RealMemory=$mem State=UNKNOWN"
  names+=" cpu$i"; cpu_names+=",cpu$i"
done
parts="PartitionName=cpu Nodes=$cpu_names Default=YES MaxTime=INFINITE State=UP"
parts+=$'\n'"PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP"
# Jobs of `urgent` take the nodes of jobs in these two, which SLURM then cancels, or puts back into the queue.
parts+=$'\n'"PartitionName=cancelled Nodes=$cpu_names MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL"
parts+=$'\n'"PartitionName=requeued Nodes=$cpu_names MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE"
parts+=$'\n'"PartitionName=urgent Nodes=$cpu_names MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=OFF"

python3 - "$here/templates" "$dir" <<PY
import pathlib, sys
src, dst = map(pathlib.Path, sys.argv[1:])
fill = {"@DIR@": str(dst), "@HOST@": """$host""", "@CTLD_PORT@": """$(port)""",
        "@DEF_MEM@": str(max(100, $mem // max(1, $cpus) // 2)), "@NODES@": """$nodes""",
        "@PARTITIONS@": """$parts""", "@GRES@": """$gres"""}
for name in ("slurm.conf", "gres.conf"):
    text = (src / f"{name}.in").read_text()
    for key, value in fill.items():
        text = text.replace(key, value)
    (dst / name).write_text(text)
PY
export SLURM_CONF="$dir/slurm.conf"

# The jobstep executor of Snakemake's SLURM plugin removes every SLURM_* variable, SLURM_CONF included, before it
# calls srun inside the job. Without a config under /etc/slurm that srun finds no cluster. This shim, first on PATH
# and inherited by the jobs, puts the variable back, so /etc stays untouched.
mkdir -p "$dir/bin"
for tool in srun sbatch squeue scancel sinfo scontrol sacct; do
  real=$(PATH=${PATH//$dir\/bin:/} command -v "$tool") || continue
  printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$real" > "$dir/bin/$tool"
  chmod +x "$dir/bin/$tool"
done

# --- daemons ------------------------------------------------------------------------------------
slurmctld -c -f "$SLURM_CONF" >>"$dir/log/slurmctld.out" 2>&1 || die "slurmctld failed: $(tail -3 "$dir/log/slurmctld.log" 2>/dev/null)"
for n in $names; do
  slurmd -N "$n" -f "$SLURM_CONF" >>"$dir/log/slurmd-$n.out" 2>&1 || die "slurmd $n failed: $(tail -3 "$dir/log/slurmd-$n.log" 2>/dev/null)"
done

for _ in $(seq 1 $((wait_s * 5))); do
  up=$(sinfo -h -o '%D' -t idle,mixed,allocated -p cpu 2>/dev/null | awk '{s+=$1} END{print s+0}')
  [ "$up" -ge $((extra + 1)) ] && { say "up: $(sinfo -h -o '%N(%c cpu, %m MB, %G) %P' | tr '\n' ';')"; printf 'export SLURM_CONF=%q PATH=%q:"$PATH"\n' "$SLURM_CONF" "$dir/bin"; exit 0; }
  sleep 0.2
done
sinfo -R >&2 || true
die "nodes did not become idle within ${wait_s}s; see $dir/log"
