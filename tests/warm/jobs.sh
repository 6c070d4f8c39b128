# Read by every bash of a job (BASH_ENV): entry points are run by forks of a process that has their libraries loaded.
python() {
  if [[ $# -ge 2 && $1 = -m && $2 = workflow_scripts.* ]]; then
    command python -I -S "$WARM_CLIENT" "$@"
  else
    command python "$@"
  fi
}
