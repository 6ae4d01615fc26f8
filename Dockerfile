# The gateway alone. Build: docker build -t gateway .   Run: see docker-compose.yml
FROM python:3.11-slim-bookworm
WORKDIR /srv/gateway
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
COPY static ./static
RUN pip install --no-cache-dir --editable . && useradd --system --home-dir /srv/gateway gateway \
    && mkdir /data && chown gateway /data
USER gateway
VOLUME /data
EXPOSE 8080/tcp 1935/tcp 8000/udp
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve", "--data", "/data"]
