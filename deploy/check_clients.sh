#!/bin/sh
# Format, vet and syntax of the Go and JavaScript clients, as far as their tools are here.
set -eu
cd "$(dirname "$0")/.."

if ! command -v gofmt >/dev/null; then
    echo "clients/go is not checked: Go is not installed"
else
    unformatted=$(gofmt -l clients/go)
    test -z "$unformatted" || { echo "gofmt -w is wanted by: $unformatted"; exit 1; }
    clients/go/debian.sh vet || {
        status=$?
        test $status -eq 3 || exit $status
        echo "clients/go is formatted, but not vetted"
    }
fi

if ! command -v node >/dev/null; then
    echo "clients/js is not checked: Node is not installed"
else
    find clients/js -name node_modules -prune -o -name build -prune -o -name '*.mjs' -print |
        while read -r program; do node --check "$program"; done
fi
