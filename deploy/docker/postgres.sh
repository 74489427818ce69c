#!/bin/sh
# PostgreSQL with the certificate and the password that `init` made; they are another user's, so they are read as root.
set -eu
identity=/var/lib/meshcore/identity/postgres
install -d -m 0700 -o postgres -g postgres /run/identity
install -d -m 2775 -o postgres -g postgres /run/postgresql
install -m 0600 -o postgres -g postgres "$identity/cert-chain.pem" "$identity/key.pem" /run/identity/
POSTGRES_PASSWORD=$(cat "$identity/password")
export POSTGRES_PASSWORD
exec docker-entrypoint.sh postgres -c ssl=on \
    -c ssl_cert_file=/run/identity/cert-chain.pem -c ssl_key_file=/run/identity/key.pem "$@"
