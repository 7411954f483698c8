#!/usr/bin/env bash
# ray 2.55.1: with usage reports turned off, the head of `ray start` still sends one.
#
# `ray start --head --disable-usage-stats` (or RAY_USAGE_STATS_ENABLED=0) says that collection is disabled. The head posts one
# report all the same to https://usage-stats.ray.io/: its source, a time stamp, all else null; so, that somebody here runs a head and has
# turned reports off. A Ray of `ray.init()` sends none. RAY_USAGE_STATS_REPORT_URL keeps it in: here it names a server on loopback.
#
# ray[default] 2.55.1, Python 3.11. Seen:
#
#   Usage stats collection is disabled.
#   posted: {"schema_version": "0.1", "source": "OSS", "collect_timestamp_ms": 1795827599103, "total_success": null, ...
#
# Needs bash, python3 and a package index. Exits with 0 if a report comes within two minutes, with 1 otherwise.
set -euo pipefail
folder=$(mktemp -d /tmp/ray-XXXXXX) # short: Ray's sockets are below it
server=""
clean_up() {
    for entry in /proc/[0-9]*; do # processes of this Ray name its folder
        pid=${entry#/proc/}
        if [[ $pid != $$ ]] && { tr '\0' ' ' <"$entry/cmdline"; } 2>/dev/null | grep -q -- "$folder/ray"; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    done
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[default]==2.55.1"
cat >"$folder/listen.py" <<'PROGRAM'
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(200)
        self.end_headers()
        with open(sys.argv[1], "w") as file:
            file.write(body)


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[2], "w") as file:
    file.write(str(server.server_port))
server.serve_forever()
PROGRAM
"$folder/venv/bin/python" "$folder/listen.py" "$folder/report" "$folder/port" 2>/dev/null &
server=$!
until [[ -s $folder/port ]]; do sleep 0.1; done

client=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')
RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=http://127.0.0.1:$(<"$folder/port") \
    "$folder/venv/bin/ray" start --head --disable-usage-stats --temp-dir="$folder/ray" --port=0 --num-cpus=1 \
    --include-dashboard=false --ray-client-server-port="$client" >"$folder/said" 2>&1 || { cat "$folder/said"; exit 1; }
grep -o "Usage stats collection is disabled." "$folder/said"
for _ in $(seq 240); do
    if [[ -s $folder/report ]]; then
        echo "posted: $(cut -c1-110 "$folder/report")..."
        exit 0
    fi
    sleep 0.5
done
echo "nothing was posted"
exit 1
