# syntax=docker/dockerfile:1
#
# docker build --build-arg VERSION=1.5.0 -t stint:1.5.0 .
#
# The image holds one static binary and the certificates of the public authorities: no shell, no package manager. What
# other images do with curl and sh, this one does with the binary: its health (stint healthcheck), its drain (stint
# drain-self), its start check (stint config check).

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# Required: deployments choose workers by version, and two builds of one name cannot be told apart.
ARG VERSION
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    : "${VERSION:?give --build-arg VERSION=1.5.0}" && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X github.com/stint-run/stint/cmd/internal/cli.Stamp=$VERSION" \
      -o /out/stint ./cmd/stint

FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="stint" \
      org.opencontainers.image.description="Long operations in small steps, so that you can deploy at any moment" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/stint /stint
# A number, so that an orchestrator can see that it is not root. Nobody's files are owned by it.
USER 65532:65532
# stint.yaml is read from here, if it is there.
WORKDIR /etc/stint
STOPSIGNAL SIGTERM
# Alive, not ready: a drained worker is not ready, and is not to be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/stint", "healthcheck", "--live"]
ENTRYPOINT ["/stint"]
