# The images that tasks and deployed models run in, a target each: docs/images.md.
# `docker build --target cpu --tag PREFIX/cpu:HASH .` needs no build argument on an ordinary machine.
ARG BASE=python:3.11-slim

FROM ${BASE} AS wheel
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS
WORKDIR /source
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt 'setuptools>=75'
COPY LICENSE pyproject.toml setup.cfg ./
COPY components components
# Only the components are packaged. The tag is a hash of them: anything else could change under the same tag.
RUN sed -i '/^    seatrial\.components/b; /^    seatrial/d' setup.cfg \
    && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM ${BASE} AS base
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN useradd --uid 10001 --create-home seatrial
WORKDIR /home/seatrial
COPY constraints.txt pyproject.toml setup.cfg /opt/seatrial/
# A project without packages is nothing but its requirements. They are installed before there is any source, so that a
# change of code leaves these layers, which take minutes, alone.
RUN sed -i '/^    seatrial/d' /opt/seatrial/setup.cfg \
    && pip install --constraint /opt/seatrial/constraints.txt /opt/seatrial

FROM base AS cpu
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS
RUN pip install --constraint /opt/seatrial/constraints.txt '/opt/seatrial[curation,training,evaluation,deployment]'
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --force-reinstall /wheels/*.whl
USER 10001

# batch_predict runs here, and the model server.
FROM base AS serving
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS
RUN pip install --constraint /opt/seatrial/constraints.txt '/opt/seatrial[serving,transformer]'
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --force-reinstall /wheels/*.whl
USER 10001
EXPOSE 8080
CMD ["python", "-m", "seatrial.components.prediction.server"]

FROM base AS gpu
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS
RUN pip install --constraint /opt/seatrial/constraints.txt '/opt/seatrial[training,transformer]'
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --force-reinstall /wheels/*.whl
USER 10001
