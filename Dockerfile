# The image of the proxies and of the operator: both binaries, and the newest pg_dump and pg_restore, which read every older production.
# The embedded server (`up` without --fresh) is for development machines, not for this image.
# tests/cluster/images makes the same without an engine, for the tests.
ARG RUST=1.95
ARG DEBIAN=trixie
ARG POSTGRES=18
# Bases are named by tag: a digest has to be looked up in the registry, and again with every fix of the base, which nothing here does.
# Whoever releases pins them: --build-arg RUST_IMAGE=rust@sha256:.. --build-arg DEBIAN_IMAGE=debian@sha256:..
ARG RUST_IMAGE=rust:${RUST}-slim-${DEBIAN}
ARG DEBIAN_IMAGE=debian:${DEBIAN}-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin previewpg --bin previewpg-operator

FROM ${DEBIAN_IMAGE}
ARG POSTGRES
# The commit that it's made from: --build-arg REVISION="$(git rev-parse HEAD)".
ARG REVISION=unknown
LABEL org.opencontainers.image.title="PreviewPG" \
      org.opencontainers.image.description="The proxy and the operator of PreviewPG" \
      org.opencontainers.image.source="https://github.com/previewpg/previewpg" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
# Debian's own client is older; postgresql-common brings the PostgreSQL project's archive and its key. Versions of packages aren't pinned: Debian
# keeps the newest only.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates postgresql-common \
 && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
 && apt-get install -y --no-install-recommends postgresql-client-${POSTGRES} \
 && rm -rf /var/lib/apt/lists/*
ENV PATH=/usr/lib/postgresql/${POSTGRES}/bin:/usr/local/bin:/usr/bin:/bin
COPY --from=build /src/target/release/previewpg /src/target/release/previewpg-operator /usr/local/bin/
# Numeric, so that Kubernetes can see that it isn't root.
USER 10001:10001
EXPOSE 5432 8080 9187
ENTRYPOINT ["previewpg"]
CMD ["serve", "--config", "/etc/previewpg/previewpg.yaml"]
