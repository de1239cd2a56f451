#!/bin/sh
# Runs `go` in this folder where no module proxy can be reached, with the libraries that Debian
# packages: ./debian.sh build -o ask. Exits with 3 where they are not installed.
set -eu
cd "$(dirname "$0")"
libraries=/usr/share/gocode
# buffer.go came with 1.4 of golang/protobuf; what 1.3 encodes lacks every oneof.
if ! command -v go >/dev/null ||
    ! test -d "$libraries/src/google.golang.org/grpc" ||
    ! test -e "$libraries/src/github.com/golang/protobuf/proto/buffer.go"; then
    echo "not installed: Debian's golang-go, golang-google-grpc-dev, golang-github-golang-protobuf-1-5-dev" >&2
    exit 3
fi
workspace=$(cd ../.. && pwd)/build/go
mkdir -p "$workspace/src/sensorium.internal/gen"
ln -sfn ../../../../../gen/go "$workspace/src/sensorium.internal/gen/go"
GO111MODULE=off GOPATH=$workspace:$libraries exec go "$@"
