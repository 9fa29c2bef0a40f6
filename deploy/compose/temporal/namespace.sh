#!/bin/sh
# Creates the namespace and the search attributes that the platform needs. Safe to repeat.
set -eu
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 \
  || temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
# The server learns of a new namespace some seconds later.
tries=0
until temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; do
  tries=$((tries + 1))
  test "$tries" -lt 60
  sleep 1
done
for name in Mall CampaignId TeamStatus RefundKind RefundStatus OutTradeNo; do
  temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword
done
temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name NeedsAttention --type Bool
