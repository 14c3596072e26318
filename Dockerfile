# The package and its command. Only package registries are used: Docker Hub for the base image, PyPI for packages.
#   docker build -t torchreid_adv .
#   docker run --rm -v "$PWD:/work" torchreid_adv demo
# With a GPU: docker run --rm --gpus all -v "$PWD:/work" torchreid_adv demo
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON}-slim
ARG EXTRAS=cpu
COPY --from=build /dist /dist
RUN python -m pip install --no-cache-dir "$(echo /dist/*.whl)[${EXTRAS}]"
RUN useradd --create-home --uid 1000 reid
USER reid
WORKDIR /work
ENV MPLBACKEND=agg
ENTRYPOINT ["torchreid-adv"]
CMD ["--help"]
