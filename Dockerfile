# Three images: `docker build -t blur2blur .` deblurs; `docker build --target train -t blur2blur-train .` trains too;
# `docker build --target app -t blur2blur-app .` serves the page, see docs/app.md.
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE constraints.txt ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 BLUR2BLUR_CACHE=/tmp/blur2blur
COPY --from=wheel /wheels /wheels
COPY constraints.txt /wheels/
WORKDIR /work
ENTRYPOINT ["blur2blur"]

FROM base AS train
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(ls /wheels/*.whl)[train,export,video]"

FROM base AS app
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(ls /wheels/*.whl)[app,train,video]"
ENV BLUR2BLUR_CAMERAS=/cameras
EXPOSE 7860
# whoever starts it chooses the password: docker run -e BLUR2BLUR_PASSWORD=...
CMD ["app", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]

FROM base AS light
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(ls /wheels/*.whl)[watch]"
