# The image of the proxies and of the operator: both binaries, and the newest pg_dump and pg_restore, which read every older production.
# The embedded server (`up` without --fresh) is for development machines, not for this image.
# tests/cluster/images makes the same without an engine, for the tests.
ARG RUST=1.95
ARG DEBIAN=trixie
ARG POSTGRES=18

FROM rust:${RUST}-slim-${DEBIAN} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin previewpg --bin previewpg-operator

FROM debian:${DEBIAN}-slim
ARG POSTGRES
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
