# The operator as an image: docker build -t modelrollout-operator .
# BASE may be any image with Python 3.11 or newer and its venv module.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
# pip stays behind in an environment of its own: that of the operator has none.
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/modelrollout
COPY requirements.lock /src/
RUN /opt/pip/bin/pip --python /opt/modelrollout/bin/python install \
    --no-cache-dir --no-compile --only-binary :all: --require-hashes --requirement /src/requirements.lock
# Nothing is built: the package is plain Python, and a build backend would be one more thing to pin. Starting it once
# leaves byte code of what it imports, and of nothing else: the Kubernetes client has 60 MB that are never used.
COPY operator/modelrollout /src/modelrollout
RUN cd /opt/modelrollout \
    && mv /src/modelrollout "$(bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && printf '#!/opt/modelrollout/bin/python\nfrom modelrollout.controller.main import main\nmain()\n' \
        > bin/modelrollout-operator \
    && printf '#!/opt/modelrollout/bin/python\nfrom modelrollout.cli.main import main\nmain()\n' \
        > bin/kubectl-modelrollout \
    && printf '#!/opt/modelrollout/bin/python\nfrom modelrollout.cli.completion import complete_for_kubectl\ncomplete_for_kubectl()\n' \
        > bin/kubectl_complete-modelrollout \
    && chmod 755 bin/modelrollout-operator bin/kubectl-modelrollout bin/kubectl_complete-modelrollout \
    && bin/modelrollout-operator --version \
    && bin/kubectl-modelrollout --version \
    && bin/kubectl-modelrollout status --help > /dev/null \
    && bin/kubectl-modelrollout lint --help > /dev/null

FROM ${BASE}
LABEL org.opencontainers.image.title="modelrollout-operator" \
    org.opencontainers.image.description="Kubernetes operator that rolls machine-learning models out safely" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/modelrollout /opt/modelrollout
# The root file system may be read-only: nothing is written, and byte code is there already.
ENV PATH=/opt/modelrollout/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that runAsNonRoot can be checked without looking into the image.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["modelrollout-operator"]
