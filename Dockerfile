# All programs in one image; compose starts one of them per container.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# This image has OpenSSL's headers, so it need not be built from source.
ENV OPENSSL_NO_VENDOR=1
COPY . .
# The caches outlive a build, target/ with them; so what is needed of it is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --workspace --bins && \
    mkdir /programs && \
    for program in bins/*/; do cp "target/release/$(basename "$program")" /programs/; done

FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates libssl3 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --home-dir /data --create-home sync
COPY --from=build /programs/ /usr/local/bin/
COPY scripts/ready /usr/local/bin/ready
USER sync
# New volumes mounted here take this folder's owner. Dead letters of movers on pipes land here too.
WORKDIR /data
VOLUME /data
