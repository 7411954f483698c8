# shellcheck shell=bash
# Where the server's data are: sourced by serve.sh, backup.sh and restore.sh, which must agree on it.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${MLFLOW_SERVER_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/fedray-mlflow}

# What is written here, dumps and artifacts included, is for this account alone.
umask 077
mkdir -p "$data"
data=$(cd "$data" && pwd)

export MLFLOW_BACKEND_STORE_URI=${MLFLOW_BACKEND_STORE_URI:-sqlite:///$data/mlflow.db}
# SQLAlchemy 2.1 takes postgresql:// for the driver psycopg 3, which MLflow does not come with.
case $MLFLOW_BACKEND_STORE_URI in
    postgres://* | postgresql://*) MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://${MLFLOW_BACKEND_STORE_URI#*://} ;;
esac
export MLFLOW_ARTIFACTS_DESTINATION=${MLFLOW_ARTIFACTS_DESTINATION:-$data/artifacts}
export MLFLOW_DISABLE_TELEMETRY=${MLFLOW_DISABLE_TELEMETRY:-true}  # it posts usage data to the internet

python=${PYTHON:-$here/../.venv/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3
