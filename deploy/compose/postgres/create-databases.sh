#!/bin/sh
# Run once, when the volume is empty: a role and databases for the platform, and for Temporal.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
  --set groupbuy_password="$GROUPBUY_DATABASE_PASSWORD" --set temporal_password="$TEMPORAL_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE groupbuy LOGIN PASSWORD :'groupbuy_password';
CREATE DATABASE groupbuy OWNER groupbuy;
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE groupbuy FROM PUBLIC;
REVOKE CONNECT ON DATABASE temporal FROM PUBLIC;
REVOKE CONNECT ON DATABASE temporal_visibility FROM PUBLIC;
SQL
