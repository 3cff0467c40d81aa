# One image for every role: `web`, `data`, `quick`, `heavy`, `beat`, and `migrate`, which prepares the database and ends.

FROM python:3.11-slim AS packages
# python-ldap is built here; nothing of the compiler reaches the image.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev libldap2-dev libsasl2-dev && rm -rf /var/lib/apt/lists/*
COPY requirements-ldap.lock /tmp/requirements.lock
RUN python -m venv /opt/condahub \
 && /opt/condahub/bin/pip install --no-cache-dir --no-deps --require-hashes --disable-pip-version-check --requirement /tmp/requirements.lock

FROM python:3.11-slim
# The LDAP library, under the name that this Debian has for it; bubblewrap holds the code of packages where IT lets it run.
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap ca-certificates '^libldap-?2(\.[0-9]+-0)?$' && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/condahub --create-home --shell /usr/sbin/nologin condahub \
 && install --directory --owner condahub --group condahub /environments
COPY --from=packages /opt/condahub /opt/condahub
WORKDIR /app
COPY . /app
RUN printf '#!/opt/condahub/bin/python\nimport sys\n\nfrom condahub.cli.main import main\n\nsys.exit(main())\n' > /opt/condahub/bin/condahub \
 && chmod +x /opt/condahub/bin/condahub \
 && /opt/condahub/bin/python -m compileall -q /app
ENV PATH=/opt/condahub/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=condahub.settings \
    CONDAHUB_DATA=/var/lib/condahub \
    CONDAHUB_ENVIRONMENTS_DIR=/environments \
    CONDAHUB_HOST=0.0.0.0 \
    CONDAHUB_DATA_HOST=0.0.0.0 \
    PORT=8000 \
    CONDAHUB_DATA_PORT=8001
# Root ignores mode bits, which is all that protects shared package caches.
USER condahub
VOLUME /var/lib/condahub
EXPOSE 8000 8001
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-m", "condahub.ops.probe"]
ENTRYPOINT ["python", "-m", "condahub.ops.roles"]
CMD ["web"]
