# The image holds one file: the binary. It runs as uid 65532, needs no writable root file system, and has no shell.
#
#   docker build -t vestibule .
#   docker run --rm -p 127.0.0.1:8484:8484 -e DATABASE_URL=postgres://… -e VESTIBULE_KEYS=… vestibule
#
# `docker-compose.yml` starts it together with PostgreSQL.
#
# Base images are named by digest, so that the same commit gives the same image, whoever moves a tag. To take a newer one:
# docker buildx imagetools inspect rust:1.95-bookworm (and so on), and put the digest that it prints first.

FROM rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /src

# The dependencies first, against an empty program: this layer is built again only when Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --locked --profile dist \
    && rm -r src

# Queries are checked against the committed record in .sqlx, so no database is needed here.
COPY . .
RUN touch src/main.rs src/lib.rs \
    && SQLX_OFFLINE=true cargo build --locked --profile dist \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
LABEL org.opencontainers.image.title="Vestibule" \
      org.opencontainers.image.description="Self-hosted identity service that speaks the protocol of the Clerk SDKs" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/target/dist/vestibule /vestibule
# `dev` keeps its key ring and keys here; an empty folder gives a named volume its owner.
COPY --from=build --chown=65532:65532 /data /data
ENV VESTIBULE_SERVER__LISTEN=0.0.0.0:8484 \
    VESTIBULE_DEV__DATA_DIR=/data
USER 65532:65532
WORKDIR /data
EXPOSE 8484 8485
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["/vestibule", "healthcheck"]
ENTRYPOINT ["/vestibule"]
CMD ["serve"]
