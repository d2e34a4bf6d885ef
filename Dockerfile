# The server as a small image: one binary, ONNX Runtime, the C and C++ run-time libraries; no shell, no root.
#
#   docker build --tag resnetd .                                 CPU
#   docker build --target openvino --tag resnetd:openvino .      with the OpenVINO plugin (x86_64)
#   docker run --read-only --cap-drop ALL -p 8000:8000 -p 8001:8001 -v "$PWD/models:/models:ro" resnetd
#
# Works with BuildKit and with the classic builder, which builds every stage above the one that is asked for.

# --- ONNX Runtime, by hash ---------------------------------------------------------------------------------------
FROM python:3.13-slim-bookworm AS runtime
WORKDIR /fetch
COPY runtime/ ./
RUN python3 fetch.py onnxruntime /runtime \
    && rm /runtime/.fetched \
    && mkdir /licenses /measurements \
    && mv /runtime/onnxruntime-* /licenses/

# --- the binary --------------------------------------------------------------------------------------------------
FROM rust:1.95-bookworm AS builder
WORKDIR /build
# No line tables in the image; the function names stay, for backtraces.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo CARGO_TARGET_DIR=/target
# The dependencies first, under an empty crate: this layer, the long one, is kept until Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && touch src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs build.rs >/dev/null \
    && sed -n '/^\[\[bench\]\]/,/^$/s/^name = "\(.*\)"$/benches\/\1.rs/p' Cargo.toml | xargs -r touch \
    && cargo build --release --locked --bin resnetd
RUN rm -r benches build.rs src
COPY . .
# A source's time is its commit's, older than the empty crate's build: cargo would take that one for fresh.
RUN touch build.rs src/lib.rs src/main.rs && cargo build --release --locked --bin resnetd \
    && mkdir /said \
    && rustc -vV | sed -n 's/^host: //p' >/said/target \
    && cargo metadata --locked --format-version 1 --filter-platform "$(cat /said/target)" >/said/metadata \
    && cargo tree --locked --prefix none --no-dedupe --edges normal,no-proc-macro >/said/linked \
    && cargo tree --locked --prefix none --no-dedupe --edges normal,build >/said/built

# --- the bill of materials ---------------------------------------------------------------------------------------
FROM runtime AS bill
WORKDIR /bill
COPY Cargo.lock ./
COPY models/resnet20-cifar10/ models/resnet20-cifar10/
COPY runtime/ runtime/
COPY release/sbom.py release/
COPY --from=builder /said/ /said/
RUN python3 release/sbom.py --from /said --output /sbom/resnetd.cdx.json \
    && python3 release/sbom.py --from /said --openvino --output /sbom-openvino/resnetd.cdx.json

# --- the image ---------------------------------------------------------------------------------------------------
FROM gcr.io/distroless/cc-debian12:nonroot AS cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="resnetd" \
      org.opencontainers.image.description="A gRPC/HTTP server that classifies images with ResNet models in ONNX Runtime" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.url="https://github.com/resnetd/resnetd" \
      org.opencontainers.image.documentation="https://github.com/resnetd/resnetd#readme" \
      org.opencontainers.image.source="https://github.com/resnetd/resnetd" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY LICENSE /licenses/resnetd-LICENSE
COPY --from=runtime /licenses/ /licenses/
COPY --from=bill /sbom/ /usr/local/share/sbom/
COPY --from=runtime /runtime/ /usr/local/lib/
COPY --from=builder /target/release/resnetd /usr/local/bin/resnetd
# What was measured and prepared at the first start is kept for the next, also where everything else is read-only.
COPY --from=runtime --chown=65532:65532 /measurements/ /var/cache/resnetd/
VOLUME /var/cache/resnetd
# A container is reached from outside, so it listens on every address. An empty /models serves the built-in model.
ENV RESNETD__SERVER__HTTP=0.0.0.0:8000 \
    RESNETD__SERVER__GRPC=0.0.0.0:8001 \
    RESNETD__MODELS__DIR=/models \
    RESNETD__RUNTIME__TUNE_CACHE=/var/cache/resnetd \
    RESNETD__RUNTIME__WEIGHTS_CACHE=/var/cache/resnetd/weights \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /models
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/usr/local/bin/resnetd", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/resnetd"]
CMD ["serve"]

# --- the image with OpenVINO -------------------------------------------------------------------------------------
FROM runtime AS plugin
RUN python3 fetch.py openvino /openvino && rm /openvino/.fetched

FROM cpu AS openvino
COPY --from=plugin /openvino/ /usr/local/lib/openvino/
COPY --from=bill /sbom-openvino/ /usr/local/share/sbom/
ENV RESNETD_PLUGIN_DIR=/usr/local/lib/openvino

# --- what a build without --target gives -------------------------------------------------------------------------
FROM cpu
