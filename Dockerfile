# The image of `previewpg serve` and `previewpg provision`. It holds pg_dump and pg_restore for provisioning; the
# embedded server (`up` without --fresh) is for development machines, not for this image.
ARG RUST=1.95
ARG DEBIAN=trixie

FROM rust:${RUST}-slim-${DEBIAN} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin previewpg

FROM debian:${DEBIAN}-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates postgresql-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/previewpg /usr/local/bin/previewpg
# Numeric, so that Kubernetes can see that it isn't root.
USER 10001:10001
EXPOSE 5432 9187
ENTRYPOINT ["previewpg"]
CMD ["serve", "--config", "/etc/previewpg/previewpg.yaml"]
