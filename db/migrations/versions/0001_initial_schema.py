"""The initial schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Changes of these rows, from any client, notify the processes that cache them in the same transaction: e.g. campaign/100123.
NOTIFY_CHANGED = """
CREATE FUNCTION groupbuy_notify_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('groupbuy_changed', TG_ARGV[0] || '/' || (to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[1]));
  RETURN NULL;
END
$$
"""
NOTIFYING_TABLES = (
    ("switches", "switch", "name", "UPDATE"),
    ("malls", "mall", "source", "UPDATE"),
    ("api_keys", "key", "key_id", "UPDATE OF name, source, scopes, revoked_at"),
    ("goods", "goods", "goods_id", "UPDATE"),
    ("campaigns", "campaign", "campaign_id", "UPDATE"),
    ("audiences", "audience", "audience_id", "UPDATE"),
)

KEEP_AUDIT = """
CREATE FUNCTION groupbuy_keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "audience_members",
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "user_id", name=op.f("audience_members_pkey")),
        comment="The members of every import. An audience names the import in force, so one row replaces all its members.",
    )
    op.create_table(
        "audiences",
        sa.Column("audience_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "import_id",
            sa.BigInteger(),
            nullable=True,
            comment="the import whose members are in force; null: no members were ever imported",
        ),
        sa.Column("member_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("import_id IS NOT NULL OR member_count = 0", name=op.f("audiences_import_check")),
        sa.CheckConstraint("member_count >= 0", name=op.f("audiences_member_count_check")),
        sa.PrimaryKeyConstraint("audience_id", name=op.f("audiences_pkey")),
    )
    op.create_index("audiences_created_idx", "audiences", ["created_at", "audience_id"], unique=False)
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("target_count", sa.Integer(), nullable=False),
        sa.Column("min_count", sa.Integer(), nullable=True),
        sa.Column("lock_ttl", sa.Integer(), nullable=False),
        sa.Column("payment_grace", sa.Integer(), nullable=False),
        sa.Column("team_ttl", sa.Integer(), nullable=False),
        sa.Column("refund_window", sa.Integer(), nullable=False),
        sa.Column("take_limit", sa.Integer(), nullable=False),
        sa.Column(
            "stock", sa.Integer(), nullable=True, comment="copy of campaign_stock.stock, which orders are counted against"
        ),
        sa.Column("discount", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("merchant_share", sa.Integer(), nullable=False, comment="percent of the discount that the mall bears"),
        sa.Column("audience", sa.Text(), nullable=True),
        sa.Column("audience_scope", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('draft', 'active', 'paused', 'draining', 'ended')", name=op.f("campaigns_status_check")),
        sa.CheckConstraint("merchant_share BETWEEN 0 AND 100", name=op.f("campaigns_merchant_share_check")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("campaigns_pkey")),
    )
    op.create_table(
        "changes",
        sa.Column("change_no", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="name of the API key, or who a signal says it is from"),
        sa.Column("via", sa.Text(), nullable=False, comment="the way it came"),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True, comment="where the request came from"),
        sa.Column("subject", sa.Text(), nullable=False, comment="what was changed, e.g. campaign/100123"),
        sa.Column("action", sa.Text(), nullable=False, comment="set, or an operator's act"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changed", sa.Boolean(), nullable=False, comment="false: the act changed nothing"),
        sa.Column("outcome", sa.Text(), nullable=True, comment="what came of an act"),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="set: the complete new content"),
        sa.Column("act_id", sa.Text(), nullable=True, comment="an act that arrives again is found by it"),
        sa.CheckConstraint("(action = 'set') = (content IS NOT NULL)", name=op.f("changes_content_check")),
        sa.CheckConstraint("(action = 'set') = (outcome IS NULL)", name=op.f("changes_outcome_check")),
        sa.CheckConstraint("via IN ('api', 'console', 'signal', 'command_line')", name=op.f("changes_via_check")),
        sa.PrimaryKeyConstraint("change_no", name=op.f("changes_pkey")),
        sa.UniqueConstraint("act_id", "subject", name=op.f("changes_act_id_subject_key")),
        comment="The audit. Append-only: a trigger refuses updates and deletes.",
    )
    op.create_index("changes_changed_by_idx", "changes", ["changed_by", "change_no"], unique=False)
    op.create_index("changes_subject_idx", "changes", ["subject", "change_no"], unique=False)
    op.create_table(
        "daily_statistics",
        sa.Column("day", sa.Date(), nullable=False, comment="of UTC"),
        sa.Column("source", sa.Text(), nullable=False, comment="empty: all malls together"),
        sa.Column("quotes", sa.BigInteger(), nullable=False),
        sa.Column("teams_opened", sa.Integer(), nullable=False),
        sa.Column("teams_completed", sa.Integer(), nullable=False),
        sa.Column("teams_failed", sa.Integer(), nullable=False),
        sa.Column("seats_locked", sa.Integer(), nullable=False),
        sa.Column("seats_paid", sa.Integer(), nullable=False),
        sa.Column("seats_completed", sa.Integer(), nullable=False),
        sa.Column("seats_lapsed", sa.Integer(), nullable=False),
        sa.Column("amount_paid", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("discount", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("refunds_unpaid", sa.Integer(), nullable=False),
        sa.Column("refunds_paid_unformed", sa.Integer(), nullable=False),
        sa.Column("refunds_paid_formed", sa.Integer(), nullable=False),
        sa.Column("refunds_unsettled", sa.Integer(), nullable=False),
        sa.Column("amount_refunded", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("form_seconds_median", sa.Double(), nullable=True),
        sa.Column("form_seconds_p90", sa.Double(), nullable=True),
        sa.Column("callback_attempts", sa.BigInteger(), nullable=False),
        sa.Column("callbacks_delivered", sa.Integer(), nullable=False),
        sa.Column("callbacks_dead", sa.Integer(), nullable=False),
        sa.Column("callback_seconds_median", sa.Double(), nullable=True),
        sa.Column("callback_seconds_p90", sa.Double(), nullable=True),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", "source", name=op.f("daily_statistics_pkey")),
        comment="What became of what began on a day: counted again and again from the other tables. Nothing decides by it.",
    )
    op.create_table(
        "daily_settlements",
        sa.Column("day", sa.Date(), nullable=False, comment="of UTC"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False, comment="of teams that were completed on this day"),
        sa.Column("sales", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("merchant_discount", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("platform_discount", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("refunded_orders", sa.Integer(), nullable=False, comment="of members who left a completed team on this day"),
        sa.Column("refunds", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("refunded_merchant_discount", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("refunded_platform_discount", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column(
            "unearned_merchant_discount", sa.Numeric(precision=18, scale=2), nullable=False, comment="booked on this day"
        ),
        sa.Column("unearned_platform_discount", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", "source", name=op.f("daily_settlements_pkey")),
        comment="What each mall's trade came to on a day: groupbuy_settlement, counted again until the day is over for long.",
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("attempt_no", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("attempt_no", name=op.f("delivery_attempts_pkey")),
    )
    op.create_index(op.f("delivery_attempts_event_id_idx"), "delivery_attempts", ["event_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("event_no", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="insertion order"),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True, comment="null: an event of the whole team"),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True, comment="per mall, without gaps; assigned after commit"),
        sa.PrimaryKeyConstraint("event_no", name=op.f("events_pkey")),
        sa.UniqueConstraint("event_id", name=op.f("events_event_id_key")),
        sa.UniqueConstraint("source", "sequence", name=op.f("events_source_sequence_key")),
    )
    op.create_index("events_source_idx", "events", ["source", "occurred_at", "event_no"], unique=False)
    op.create_index("events_team_idx", "events", ["team_id"], unique=False)
    op.create_index(
        "events_unsequenced_idx", "events", ["source", "event_no"], unique=False, postgresql_where=sa.text("sequence IS NULL")
    )
    op.create_table(
        "exports",
        sa.Column("export_id", sa.Text(), nullable=False, comment="of the act that began it"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True, comment="why it failed, shown to operators"),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("after_at", sa.DateTime(timezone=True), nullable=True, comment="the last row written: its time, and its id"),
        sa.Column("after_id", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False, comment="name of the API key"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(finished_at IS NULL) = (status = 'running')", name=op.f("exports_finished_check")),
        sa.CheckConstraint("(kept_until IS NULL) = (status = 'running')", name=op.f("exports_kept_check")),
        sa.CheckConstraint("status IN ('running', 'done', 'failed')", name=op.f("exports_status_check")),
        sa.PrimaryKeyConstraint("export_id", name=op.f("exports_pkey")),
    )
    op.create_index("exports_requested_at_idx", "exports", ["requested_at"], unique=False)
    op.create_table(
        "export_chunks",
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("chunk_no", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="compressed by gzip"),
        sa.ForeignKeyConstraint(
            ["export_id"], ["exports.export_id"], name=op.f("export_chunks_export_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("export_id", "chunk_no", name=op.f("export_chunks_pkey")),
        comment="The files of exports, in parts.",
    )
    op.create_table(
        "goods",
        sa.Column("goods_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("original_price", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.CheckConstraint("original_price > 0", name=op.f("goods_original_price_check")),
        sa.PrimaryKeyConstraint("goods_id", name=op.f("goods_pkey")),
    )
    op.create_table(
        "malls",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("callback_kind", sa.Text(), nullable=True, comment="default callback of orders that name none"),
        sa.Column("callback_address", sa.Text(), nullable=True),
        sa.Column(
            "callback_hosts", sa.ARRAY(sa.Text()), nullable=False, comment="hosts that callbacks may be sent to, without ports"
        ),
        sa.Column(
            "routing_key_prefixes", sa.ARRAY(sa.Text()), nullable=False, comment="what routing keys of callbacks begin with"
        ),
        sa.Column(
            "webhook_secrets", sa.ARRAY(sa.Text()), nullable=False, comment="newest first; two are valid during a rotation"
        ),
        sa.Column("local", sa.Boolean(), nullable=False, comment="callbacks may be sent to private addresses"),
        sa.Column(
            "request_limit",
            sa.Integer(),
            server_default="2000",
            nullable=False,
            comment="requests per second; above it, rate_limited",
        ),
        sa.Column(
            "legacy_networks",
            sa.ARRAY(postgresql.CIDR()),
            server_default="{}",
            nullable=False,
            comment="from where the legacy format, which has no credentials, may act for the mall",
        ),
        sa.Column(
            "sequence_from",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="events get higher sequences; after a restore, so that no sequence is given to two events",
        ),
        sa.CheckConstraint("request_limit > 0", name=op.f("malls_request_limit_check")),
        sa.PrimaryKeyConstraint("source", name=op.f("malls_pkey")),
    )
    op.create_table(
        "quote_counts",
        sa.Column("day", sa.Date(), nullable=False, comment="of UTC"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quotes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "source", "campaign_id", name=op.f("quote_counts_pkey")),
        comment="Quotes that were answered: API processes add what they have counted every few seconds.",
    )
    op.create_index("quote_counts_campaign_idx", "quote_counts", ["campaign_id"], unique=False)
    op.create_table(
        "reconciliation_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("after_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_id", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_begun_at", sa.DateTime(timezone=True), nullable=True, comment="when the last complete pass began"),
        sa.Column("last_finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("reconciliation_cursors_pkey")),
        comment="How far reconciliation has come with what it looks at in turn: after which row the next slice begins.",
    )
    op.create_table(
        "reconciliation_findings",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="id of the team or order, or the mall's source"),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("reconciliation_findings_pkey")),
        comment="What reconciliation could not do, or found missing. Deleted when it is done or there.",
    )
    op.create_index("reconciliation_findings_seen_idx", "reconciliation_findings", ["first_seen_at"], unique=False)
    op.create_table(
        "switches",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("switches_pkey")),
    )
    op.create_table(
        "teams",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("campaign_version", sa.Integer(), nullable=False),
        sa.Column("goods_id", sa.Text(), nullable=False),
        sa.Column("original_price", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("discount", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("merchant_share", sa.Integer(), nullable=False, comment="percent of the discount that the mall bears"),
        sa.Column("target_count", sa.Integer(), nullable=False),
        sa.Column("min_count", sa.Integer(), nullable=True),
        sa.Column("lock_ttl", sa.Integer(), nullable=False),
        sa.Column("payment_grace", sa.Integer(), nullable=False),
        sa.Column("refund_window", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("lock_count", sa.Integer(), nullable=False),
        sa.Column("complete_count", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completion", sa.Text(), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fail_reason", sa.Text(), nullable=True),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="incremented in every transaction that changes the team or its orders",
        ),
        sa.Column(
            "admitted",
            sa.Text(),
            server_default="orchestrated",
            nullable=False,
            comment="direct: a seat or a payment was admitted beside the team's workflow",
        ),
        sa.Column(
            "taken_over_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its workflow took the latest direct admission over",
        ),
        sa.Column(
            "unearned_booked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was booked what its members who left made unearned; null again when another one leaves",
        ),
        sa.CheckConstraint("merchant_share BETWEEN 0 AND 100", name=op.f("teams_merchant_share_check")),
        sa.CheckConstraint("admitted IN ('orchestrated', 'direct')", name=op.f("teams_admitted_check")),
        sa.CheckConstraint("(status = 'failed') = (failed_at IS NOT NULL)", name=op.f("teams_failed_check")),
        sa.CheckConstraint(
            "status IN ('forming', 'completed', 'completed_with_refunds', 'failed')", name=op.f("teams_status_check")
        ),
        sa.CheckConstraint(
            "status NOT IN ('completed', 'completed_with_refunds') OR completed_at IS NOT NULL",
            name=op.f("teams_completed_check"),
        ),
        sa.CheckConstraint("(completed_at IS NULL) = (completion IS NULL)", name=op.f("teams_completion_check")),
        sa.CheckConstraint(
            "0 <= complete_count AND complete_count <= lock_count AND lock_count <= target_count",
            name=op.f("teams_counts_check"),
        ),
        sa.PrimaryKeyConstraint("team_id", name=op.f("teams_pkey")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("teams_campaign_idx", "teams", ["campaign_id", "opened_at"], unique=False)
    op.create_index(
        "teams_failed_idx",
        "teams",
        ["failed_at"],
        unique=False,
        postgresql_where=sa.text("status = 'failed' AND complete_count > 0"),
    )
    op.create_index(
        "teams_forming_idx",
        "teams",
        ["deadline", "team_id"],
        unique=False,
        postgresql_where=sa.text("status = 'forming'"),
    )
    op.create_index(
        "teams_refundable_idx",
        "teams",
        [
            sa.literal_column("((completed_at AT TIME ZONE 'UTC') + refund_window * '00:00:01'::interval)"),
            "team_id",
        ],
        unique=False,
        postgresql_where=sa.text("status IN ('completed', 'completed_with_refunds')"),
    )
    op.create_index(
        "teams_joinable_idx",
        "teams",
        ["source", "campaign_id", "goods_id", sa.literal_column("(target_count - complete_count)"), "deadline"],
        unique=False,
        postgresql_where=sa.text("status = 'forming'"),
    )
    op.create_index(
        "teams_completed_idx",
        "teams",
        ["completed_at"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    )
    op.create_index(
        "teams_unbooked_idx",
        "teams",
        [
            sa.literal_column("((completed_at AT TIME ZONE 'UTC') + refund_window * '00:00:01'::interval)"),
            "team_id",
        ],
        unique=False,
        postgresql_where=sa.text("completed_at IS NOT NULL AND status <> 'completed' AND unearned_booked_at IS NULL"),
    )
    op.create_index("teams_opened_idx", "teams", ["opened_at", "team_id"], unique=False)
    op.create_table(
        "unearned_discounts",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("booking", sa.Integer(), nullable=False, comment="1 + bookings of this team"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False, comment="members with whom the team earns its price"),
        sa.Column("stayed", sa.Integer(), nullable=False),
        sa.Column(
            "merchant",
            sa.Numeric(precision=18, scale=2),
            nullable=False,
            comment="negative where a later booking takes back",
        ),
        sa.Column("platform", sa.Numeric(precision=18, scale=2), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.team_id"], name=op.f("unearned_discounts_team_id_fkey")),
        sa.PrimaryKeyConstraint("team_id", "booking", name=op.f("unearned_discounts_pkey")),
        comment="What completed teams did not earn because members left: the differences to what was booked of the team before.",
    )
    op.create_index("unearned_discounts_booked_at_idx", "unearned_discounts", ["booked_at"], unique=False)
    op.create_table(
        "team_wakeups",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the first change that the workflow has not taken over",
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, comment="when the team's workflow has something to do"),
        sa.Column("urgency", sa.Integer(), nullable=False, comment="domain.wakeups.Urgency"),
        sa.Column("locks", sa.Integer(), nullable=False, comment="seats admitted directly since the last take-over"),
        sa.Column("payments", sa.Integer(), nullable=False, comment="payments admitted directly since the last take-over"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="times that the workflow was told"),
        sa.Column(
            "next_try_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the workflow is told, or told again",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="why telling it failed"),
        sa.PrimaryKeyConstraint("team_id", name=op.f("team_wakeups_pkey")),
        comment="Teams whose rows were changed by somebody else than their workflow, until it has taken the change over.",
    )
    op.create_index("team_wakeups_urgent_idx", "team_wakeups", [sa.literal_column("urgency DESC"), "due_at", "since"])
    op.create_index("team_wakeups_oldest_idx", "team_wakeups", ["since"])
    op.create_table(
        "removed_orders",
        sa.Column("order_id", sa.Text(), nullable=False, comment="which follows from the mall and its out_trade_no"),
        sa.PrimaryKeyConstraint("order_id", name=op.f("removed_orders_pkey")),
        comment="The orders that retention removed: none is made again under their numbers.",
    )
    op.create_table(
        "removed_teams",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("teams", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False, comment="also those that members left"),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("live_seats", sa.BigInteger(), nullable=False),
        sa.Column("paid_seats", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.DateTime(timezone=True), nullable=False, comment="nothing happened in these teams from then on"),
        sa.PrimaryKeyConstraint("campaign_id", "source", name=op.f("removed_teams_pkey")),
        comment="The teams that retention removed, counted.",
    )
    op.create_table(
        "user_quotas",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column(
            "removed",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="of these, those whose orders retention removed",
        ),
        sa.CheckConstraint("live >= 0", name=op.f("user_quotas_live_check")),
        sa.CheckConstraint("0 <= removed AND removed <= live", name=op.f("user_quotas_removed_check")),
        sa.PrimaryKeyConstraint("campaign_id", "source", "user_id", name=op.f("user_quotas_pkey")),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_hash", sa.LargeBinary(), nullable=False, comment="SHA-256; the key itself is not stored"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True, comment="the mall it belongs to; null: an operator's key"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=False, comment="first bytes of the hash, the public id"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="granted permissions"),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True, comment="accurate to about a minute"),
        sa.CheckConstraint(
            "scopes <@ CASE WHEN source IS NULL THEN ARRAY['read', 'support', 'ops', 'admin'] ELSE ARRAY['read', 'trade'] END AND scopes <> '{}'",
            name=op.f("api_keys_scopes_check"),
        ),
        sa.ForeignKeyConstraint(["source"], ["malls.source"], name=op.f("api_keys_source_fkey")),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("key_id", name=op.f("api_keys_key_id_key")),
    )
    op.create_index("api_keys_name_idx", "api_keys", [sa.literal_column("lower(name)")], unique=True)
    op.create_table(
        "audience_imports",
        sa.Column("import_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("audience_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="upload, or rule: a query over the orders"),
        sa.Column("rule", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True, comment="why it failed, shown to operators"),
        sa.Column("seen", sa.BigInteger(), nullable=False, comment="upload: lines read; rule: users with a matching order"),
        sa.Column("accepted", sa.BigInteger(), nullable=False, comment="upload: lines that name a user; rule: users added"),
        sa.Column("bad", sa.BigInteger(), nullable=False, comment="upload: lines that name no user"),
        sa.Column("member_count", sa.BigInteger(), nullable=False, comment="updated in the transactions that add members"),
        sa.Column("last_user", sa.Text(), nullable=False, comment="rule: the last user evaluated"),
        sa.Column(
            "report",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the first bad lines: line number and reason",
        ),
        sa.Column("author", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="who started it"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_progress_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "cleared_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its members were deleted, after another import replaced them",
        ),
        sa.CheckConstraint("(failure IS NULL) = (status <> 'failed')", name=op.f("audience_imports_failure_check")),
        sa.CheckConstraint("(finished_at IS NULL) = (status = 'running')", name=op.f("audience_imports_finished_check")),
        sa.CheckConstraint("(kind = 'rule') = (rule IS NOT NULL)", name=op.f("audience_imports_rule_check")),
        sa.CheckConstraint("kind IN ('upload', 'rule')", name=op.f("audience_imports_kind_check")),
        sa.CheckConstraint("status IN ('running', 'done', 'failed')", name=op.f("audience_imports_status_check")),
        sa.CheckConstraint(
            "0 <= member_count AND member_count <= accepted AND accepted + bad <= seen",
            name=op.f("audience_imports_counts_check"),
        ),
        sa.ForeignKeyConstraint(["audience_id"], ["audiences.audience_id"], name=op.f("audience_imports_audience_id_fkey")),
        sa.PrimaryKeyConstraint("import_id", name=op.f("audience_imports_pkey")),
    )
    op.create_index("audience_imports_audience_idx", "audience_imports", ["audience_id", "import_id"], unique=False)
    op.create_index(
        "audience_imports_kept_idx",
        "audience_imports",
        ["import_id"],
        unique=False,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index(
        "audience_imports_one_running_idx",
        "audience_imports",
        ["audience_id"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "campaign_goods",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("goods_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.campaign_id"], name=op.f("campaign_goods_campaign_id_fkey")),
        sa.ForeignKeyConstraint(["goods_id"], ["goods.goods_id"], name=op.f("campaign_goods_goods_id_fkey")),
        sa.PrimaryKeyConstraint("campaign_id", "source", "channel", "goods_id", name=op.f("campaign_goods_pkey")),
    )
    op.create_index("campaign_goods_channel_idx", "campaign_goods", ["source", "channel", "goods_id"], unique=False)
    op.create_table(
        "campaign_shutdowns",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("begun_by", sa.Text(), nullable=False, comment="name of the API key"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "finished_at", sa.DateTime(timezone=True), nullable=True, comment="no team is forming and every refund is done"
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.campaign_id"], name=op.f("campaign_shutdowns_campaign_id_fkey")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("campaign_shutdowns_pkey")),
    )
    op.create_table(
        "campaign_stock",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("stock", sa.Integer(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.CheckConstraint("0 <= live AND live <= stock", name=op.f("campaign_stock_live_check")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.campaign_id"], name=op.f("campaign_stock_campaign_id_fkey")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("campaign_stock_pkey")),
        comment="One row for each campaign with a stock; all its orders share it.",
    )
    op.create_table(
        "redeliveries",
        sa.Column("redelivery_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="of the callbacks that are sent again"),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="events of the range when it was requested"),
        sa.Column(
            "resent", sa.BigInteger(), nullable=False, comment="events that were made due, or left to their refunds' workflows"
        ),
        sa.Column(
            "refunds", sa.BigInteger(), nullable=False, comment="events among these that were left to their refunds' workflows"
        ),
        sa.Column(
            "after_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the last event looked at: its time, and its number",
        ),
        sa.Column("after_no", sa.BigInteger(), nullable=False),
        sa.Column("is_exhausted", sa.Boolean(), nullable=False, comment="every event of the range was looked at"),
        sa.Column("requested_by", sa.Text(), nullable=False, comment="name of the API key"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "gives_up_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="nothing is attempted or made due after this",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('dead', 'delivered', 'pending', 'all')", name=op.f("redeliveries_status_check")),
        sa.PrimaryKeyConstraint("redelivery_id", name=op.f("redeliveries_pkey")),
    )
    op.create_index(
        "redeliveries_unfinished_idx",
        "redeliveries",
        ["source", "since", "until", "status"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("redelivery_id", sa.BigInteger(), nullable=True, comment="of a range, which made it due last"),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'dead', 'closed')", name=op.f("deliveries_status_check")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("deliveries_event_id_fkey")),
        sa.ForeignKeyConstraint(["redelivery_id"], ["redeliveries.redelivery_id"], name=op.f("deliveries_redelivery_id_fkey")),
        sa.PrimaryKeyConstraint("event_id", "kind", "address", "format", name=op.f("deliveries_pkey")),
    )
    op.create_index(
        "deliveries_dead_idx", "deliveries", ["finished_at"], unique=False, postgresql_where=sa.text("status = 'dead'")
    )
    op.create_index(
        "deliveries_redelivery_idx",
        "deliveries",
        ["redelivery_id", "status", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("redelivery_id IS NOT NULL"),
    )
    op.create_index(
        "deliveries_pending_idx",
        "deliveries",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("opened_team", sa.Boolean(), nullable=False, comment="the request named no team, so this order opened it"),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("goods_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False, comment="holds a seat and counts against the quotas"),
        sa.Column("original_price", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("deduction", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column(
            "merchant_deduction",
            sa.Numeric(precision=12, scale=2),
            nullable=False,
            comment="the mall's part of the deduction",
        ),
        sa.Column("pay_price", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("take_limit", sa.Integer(), nullable=False, comment="the take limit it was admitted under"),
        sa.Column("callback_kind", sa.Text(), nullable=True),
        sa.Column("callback_address", sa.Text(), nullable=True),
        sa.Column("callback_format", sa.Text(), nullable=False),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lock_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_amount", sa.Numeric(precision=12, scale=2), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payment_reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payment_outcome", sa.Text(), nullable=True),
        sa.Column("payment_reason", sa.Text(), nullable=True),
        sa.Column("admitted_by", sa.Text(), server_default="", nullable=False, comment="id of the request that took the seat"),
        sa.Column("payment_admitted_by", sa.Text(), nullable=True, comment="id of the request that reported the payment"),
        sa.CheckConstraint("status <> 'cancelled' OR cancel_reason IS NOT NULL", name=op.f("orders_cancelled_check")),
        sa.CheckConstraint("status = 'refunding' OR live = (status IN ('locked', 'paid'))", name=op.f("orders_live_check")),
        sa.CheckConstraint(
            "status IN ('locked', 'paid', 'refunding', 'refunded', 'cancelled')", name=op.f("orders_status_check")
        ),
        sa.CheckConstraint(
            "status NOT IN ('paid', 'refunding', 'refunded') OR paid_amount IS NOT NULL", name=op.f("orders_paid_check")
        ),
        sa.CheckConstraint("(paid_amount IS NULL) = (payment_outcome IS NULL)", name=op.f("orders_payment_check")),
        sa.CheckConstraint("deduction + pay_price = original_price", name=op.f("orders_price_check")),
        sa.CheckConstraint(
            "0 <= merchant_deduction AND merchant_deduction <= deduction", name=op.f("orders_merchant_deduction_check")
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.team_id"], name=op.f("orders_team_id_fkey")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("orders_pkey")),
        sa.UniqueConstraint("source", "out_trade_no", name=op.f("orders_source_out_trade_no_key")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("orders_locked_at_idx", "orders", ["locked_at", "order_id"], unique=False)
    op.create_index("orders_one_seat_idx", "orders", ["team_id", "user_id"], unique=True, postgresql_where=sa.text("live"))
    op.create_index(
        "orders_refunding_idx", "orders", ["order_id"], unique=False, postgresql_where=sa.text("status = 'refunding'")
    )
    op.create_index("orders_team_idx", "orders", ["team_id", "locked_at"], unique=False)
    op.create_index(
        "orders_undone_idx",
        "orders",
        ["status", "locked_at", "order_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('cancelled', 'refunded')"),
    )
    op.create_index("orders_user_idx", "orders", ["user_id", "source", "locked_at", "order_id"], unique=False)
    op.create_table(
        "campaign_shutdown_teams",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column(
            "team_id",
            sa.Text(),
            nullable=False,
            comment="no foreign key: its row lock on teams would come after the quotas, against the lock order",
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign_shutdowns.campaign_id"], name=op.f("campaign_shutdown_teams_campaign_id_fkey")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "team_id", name=op.f("campaign_shutdown_teams_pkey")),
        comment="The teams that were forming when the shutdown began; none can be opened afterwards.",
    )
    op.create_table(
        "payment_conflicts",
        sa.Column("conflict_no", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "resolved_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when an operator settled it: the audit says who, and how",
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("payment_conflicts_order_id_fkey")),
        sa.PrimaryKeyConstraint("conflict_no", name=op.f("payment_conflicts_pkey")),
        sa.UniqueConstraint("order_id", "amount", name=op.f("payment_conflicts_order_id_amount_key")),
        comment="A different amount reported for an order that is already paid: needs an operator.",
    )
    op.create_index(
        "payment_conflicts_open_idx",
        "payment_conflicts",
        ["reported_at"],
        unique=False,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(op.f("payment_conflicts_order_id_idx"), "payment_conflicts", ["order_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="1 + finished refunds of this order",
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "operator",
            sa.Text(),
            nullable=True,
            comment="the operator who requested it or acted last; null: the buyer or the platform",
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="the mall's or an operator's note"),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column(
            "question", sa.Text(), nullable=True, comment="event id of order.refund_requested, sent before anything is released"
        ),
        sa.Column("answer", sa.Text(), nullable=True, comment="agreed or vetoed, by the mall or by an operator for it"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when its workflow was last (re)started or checked",
        ),
        sa.CheckConstraint("(finished_at IS NULL) = (status NOT IN ('done', 'rejected'))", name=op.f("refunds_finished_check")),
        sa.CheckConstraint(
            "answer IS NULL OR (question IS NOT NULL AND answer IN ('agreed', 'vetoed'))", name=op.f("refunds_answer_check")
        ),
        sa.CheckConstraint("kind IN ('unpaid', 'paid_unformed', 'paid_formed', 'unsettled')", name=op.f("refunds_kind_check")),
        sa.CheckConstraint("status <> 'done' OR released_at IS NOT NULL", name=op.f("refunds_released_check")),
        sa.CheckConstraint(
            "status <> 'rejected' OR (released_at IS NULL AND answer = 'vetoed')", name=op.f("refunds_rejected_check")
        ),
        sa.CheckConstraint(
            "status IN ('requested', 'awaiting_mall', 'done', 'rejected', 'attention')", name=op.f("refunds_status_check")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("refunds_order_id_fkey")),
        sa.PrimaryKeyConstraint("order_id", "attempt", name=op.f("refunds_pkey")),
        sa.UniqueConstraint("question", name=op.f("refunds_question_key")),
    )
    op.create_index(
        "refunds_attention_idx", "refunds", ["requested_at"], unique=False, postgresql_where=sa.text("status = 'attention'")
    )
    op.create_index(
        "refunds_left_idx", "refunds", ["released_at"], unique=False, postgresql_where=sa.text("kind = 'paid_formed'")
    )
    op.create_index(
        "refunds_one_open_idx", "refunds", ["order_id"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index("refunds_requested_idx", "refunds", ["requested_at", "order_id"], unique=False)
    op.create_index(
        "refunds_unfinished_idx", "refunds", ["checked_at"], unique=False, postgresql_where=sa.text("finished_at IS NULL")
    )

    op.execute(NOTIFY_CHANGED)
    for table, kind, column, update in NOTIFYING_TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_notify AFTER INSERT OR DELETE OR {update} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION groupbuy_notify_changed('{kind}', '{column}')"
        )
    op.execute(KEEP_AUDIT)
    op.execute(
        "CREATE TRIGGER changes_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON changes"
        " FOR EACH STATEMENT EXECUTE FUNCTION groupbuy_keep_audit()"
    )
