#!/bin/sh
# Creates Temporal's tables, or brings them to the version of this image. Safe to repeat.
set -eu
for database in temporal temporal_visibility; do
  case $database in
    temporal) versions=/etc/temporal/schema/postgresql/v12/temporal/versioned ;;
    *) versions=/etc/temporal/schema/postgresql/v12/visibility/versioned ;;
  esac
  # An existing schema is left alone by setup-schema, which then fails.
  temporal-sql-tool --db "$database" setup-schema -v 0.0 || true
  temporal-sql-tool --db "$database" update-schema -d "$versions"
done
