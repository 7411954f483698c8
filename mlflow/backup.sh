#!/usr/bin/env bash
# Copy the server's database and artifacts into a new folder, while it runs: mlflow/backup.sh FOLDER. See README.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
exec "$python" "$here/archive.py" backup "$@"
