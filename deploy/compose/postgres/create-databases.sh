#!/bin/sh
# Run once, when the volume is empty: databases and roles for the platform, which runs as one that owns no table, and for Temporal.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
  --set groupbuy_password="$GROUPBUY_DATABASE_PASSWORD" --set run_password="$GROUPBUY_RUN_PASSWORD" \
  --set temporal_password="$TEMPORAL_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE groupbuy LOGIN PASSWORD :'groupbuy_password';
CREATE DATABASE groupbuy OWNER groupbuy;
CREATE ROLE groupbuy_run LOGIN PASSWORD :'run_password';
GRANT pg_read_all_data, pg_write_all_data TO groupbuy_run;
GRANT CONNECT ON DATABASE groupbuy TO groupbuy_run;
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE groupbuy FROM PUBLIC;
REVOKE CONNECT ON DATABASE temporal FROM PUBLIC;
REVOKE CONNECT ON DATABASE temporal_visibility FROM PUBLIC;
SQL
