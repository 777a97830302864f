#!/bin/sh
# `build.sh OUT`: one static binary with every program of the cluster; names each package that it compiles on standard error.
#
# Only ever build it by this: another set of flags has other keys in Go's cache, and everything is compiled anew.
set -eu
version() { sed -n "s#^\t$1 v##p" go.mod | head -1; }
kubernetes=$(version k8s.io/kubernetes) minor=$(version k8s.io/kubernetes | cut -d. -f2)
flags="-s -w -X k8s.io/component-base/version.gitTreeState=clean -X helm.sh/helm/v4/internal/version.version=v$(version helm.sh/helm/v4)"
flags="$flags -X k8s.io/component-base/version.gitVersion=v$kubernetes"
for package in k8s.io/component-base/version.git k8s.io/client-go/pkg/version.git helm.sh/helm/v4/pkg/chart/common.k8sVersion \
    helm.sh/helm/v4/internal/version.kubeClientVersion helm.sh/helm/v4/pkg/chart/v2/lint/rules.k8sVersion helm.sh/helm/v4/internal/chart/v3/lint/rules.k8sVersion; do
    flags="$flags -X ${package}Major=1 -X ${package}Minor=$minor" # else helm template believes in 1.20
done
CGO_ENABLED=0 exec go build -v -buildvcs=false -p "${JOBS:-2}" -trimpath -o "$1" -ldflags "$flags" .
