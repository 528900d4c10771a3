# The posenode command with COLMAP, as a non-root user. Build: docker build -t posenode .

FROM debian:bookworm-slim AS build
WORKDIR /src
# What is installed depends on these two files alone, so that a change of the sources does not install again.
COPY scripts/setup scripts/packages.txt scripts/
RUN scripts/setup build && rm -rf /var/lib/apt/lists/*
COPY . .
# What `posenode version` says, where the context has no .git: --build-arg GIT=$(git describe --always --tags)
ARG GIT=""
RUN cmake --preset release -DPOSENODE_TESTS=OFF -DPOSENODE_GIT="$GIT" \
 && cmake --build --preset release --target posenode \
 && strip --strip-unneeded -o /posenode build/release/bin/posenode

FROM debian:bookworm-slim
COPY scripts/setup scripts/packages.txt /tmp/scripts/
RUN /tmp/scripts/setup image && rm -rf /var/lib/apt/lists/* /tmp/scripts
COPY --from=build /posenode /usr/local/bin/posenode
# A library that is missing here (scripts/packages.txt, [image]) shows now and not at the first start.
RUN posenode version
# /etc/posenode is where an environment file may be mounted, or written by `posenode market --write-env`.
RUN groupadd --gid 10001 posenode \
 && useradd --uid 10001 --gid posenode --home-dir /var/lib/posenode --no-create-home --shell /usr/sbin/nologin posenode \
 && install -d -o posenode -g posenode -m 0700 /var/lib/posenode /etc/posenode

ENV STATE_DIR=/var/lib/posenode \
    STATUS_ADDR=0.0.0.0:9464 \
    DRAIN_TIMEOUT_SECS=8
VOLUME /var/lib/posenode
# By number: runAsNonRoot cannot look at a name.
USER 10001:10001
WORKDIR /var/lib/posenode
EXPOSE 9464
# Of a node. For a market: --health-cmd "posenode healthcheck --url http://127.0.0.1:8480/health".
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["posenode", "healthcheck"]
# tini reaps what a runner's children leave behind and hands the signals on.
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "posenode"]
CMD ["run"]
