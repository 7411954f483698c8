#!/usr/bin/env bash
# Put a backup into an empty database and an empty place for artifacts: mlflow/restore.sh FOLDER. See README.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
exec "$python" "$here/archive.py" restore "$@"
