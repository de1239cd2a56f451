#!/bin/sh
# Debian packages that some tests need and pip has not: a browser, Go with its libraries, a
# voice. Never fails: what is absent afterwards is skipped by its tests, with the reason.
set -u

wanted="chromium golang-go protoc-gen-go protoc-gen-go-grpc golang-google-grpc-dev
    golang-github-golang-protobuf-1-5-dev espeak-ng"

if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: tests that need $(echo $wanted) may be skipped."
    exit 0
fi
missing=
for package in $wanted; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' ||
        missing="$missing $package"
done
test -n "$missing" || exit 0
if test "$(id -u)" -ne 0; then
    echo "Not root: not installed, so tests that need them are skipped:$missing"
    exit 0
fi
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ timeout 300 apt-get update -q && timeout 900 apt-get install -q -y --no-install-recommends $missing; } \
    >"$log" 2>&1 || { tail -n 3 "$log"; echo "Not installed; tests that need them are skipped:$missing"; }
rm -f "$log"
