#!/usr/bin/env bash
# Serve MLflow with logins. All settings come from the environment (README.md lists them), because what stands on a
# command line shows in the process list; this is also what the container runs.
#
#   MLFLOW_AUTH_ADMIN_PASSWORD=... mlflow/serve.sh
set -euo pipefail

fail() {
    echo "serve.sh: $1" >&2
    exit 2
}

[[ $# -eq 0 ]] || fail "takes no arguments: settings come from the environment, see README.md"
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

export MLFLOW_HOST=${MLFLOW_HOST:-127.0.0.1}
export MLFLOW_PORT=${MLFLOW_PORT:-5000}
export MLFLOW_WORKERS=${MLFLOW_WORKERS:-2}
# Background workers for services that FedRay does not use.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=${MLFLOW_SERVER_ENABLE_JOB_EXECUTION:-false}

case $MLFLOW_HOST in
    127.* | localhost | ::1) loopback=yes ;;
    *) loopback=no ;;
esac

# A server that answers under any name can be reached through a web page that its user happens to open.
if [[ $loopback = yes ]]; then
    : "${MLFLOW_SERVER_ALLOWED_HOSTS:=localhost:*,127.0.0.1:*}"
fi
[[ -n ${MLFLOW_SERVER_ALLOWED_HOSTS:-} ]] || fail "listening on $MLFLOW_HOST needs MLFLOW_SERVER_ALLOWED_HOSTS: the \
names by which browsers and jobs call this server, such as mlflow.example.org:$MLFLOW_PORT"
export MLFLOW_SERVER_ALLOWED_HOSTS
# The UI under one of these names sends its requests from there; MLflow refuses them unless it is told.
if [[ -z ${MLFLOW_SERVER_CORS_ALLOWED_ORIGINS:-} ]]; then
    origins=""
    IFS=, read -ra names <<<"$MLFLOW_SERVER_ALLOWED_HOSTS"
    for name in "${names[@]}"; do origins+="http://$name,https://$name,"; done
    MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=${origins%,}
fi
export MLFLOW_SERVER_CORS_ALLOWED_ORIGINS

if [[ ${MLFLOW_SERVER_LOGIN:-on} = off ]]; then
    [[ $loopback = yes ]] || fail "MLFLOW_SERVER_LOGIN=off is for 127.0.0.1 alone, but MLFLOW_HOST is $MLFLOW_HOST"
    exec "$python" -m mlflow server
fi

[[ -n ${MLFLOW_AUTH_ADMIN_PASSWORD:-} ]] || fail "set MLFLOW_AUTH_ADMIN_PASSWORD: the password of the user 'admin', at \
least 12 characters"
[[ ${#MLFLOW_AUTH_ADMIN_PASSWORD} -ge 12 ]] || fail "MLFLOW_AUTH_ADMIN_PASSWORD must have at least 12 characters, but \
has ${#MLFLOW_AUTH_ADMIN_PASSWORD}"
default_permission=${MLFLOW_SERVER_DEFAULT_PERMISSION:-NO_PERMISSIONS}
case $default_permission in
    READ | USE | EDIT | MANAGE | NO_PERMISSIONS) ;;
    *) fail "MLFLOW_SERVER_DEFAULT_PERMISSION must be READ, USE, EDIT, MANAGE or NO_PERMISSIONS, but is \
'$default_permission'" ;;
esac

# One key for all workers, and the same after a restart: it signs the sign-up form.
if [[ -z ${MLFLOW_FLASK_SERVER_SECRET_KEY:-} ]]; then
    [[ -s $data/secret-key ]] || "$python" -c 'import secrets; print(secrets.token_hex(32))' >"$data/secret-key"
    MLFLOW_FLASK_SERVER_SECRET_KEY=$(<"$data/secret-key")
fi
export MLFLOW_FLASK_SERVER_SECRET_KEY

# Users live in the runs' database, in tables of their own, so that one backup holds both. The address can hold a
# password: the file is readable by this account alone (umask in settings.sh). In it, % begins an interpolation.
rm -f "$data/auth.ini"
cat >"$data/auth.ini" <<EOF
[mlflow]
default_permission = $default_permission
database_uri = ${MLFLOW_BACKEND_STORE_URI//%/%%}
admin_username = admin
authorization_function = fedray_login:authenticate
# Seconds for which a worker remembers that a password was right: checking one takes a tenth of a second of CPU.
auth_cache_ttl_seconds = ${MLFLOW_SERVER_LOGIN_CACHE_S:-30}
EOF
export MLFLOW_AUTH_CONFIG_PATH=$data/auth.ini
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}  # of fedray_login

exec "$python" -m mlflow server --app-name basic-auth
