"""The schema. CHECK constraints and unique indexes also guard the states that rules depend on.

migrations/versions/0001_initial_schema.py creates the same tables, and the triggers that notify caches of changed settings.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import CIDR, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _money(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Numeric(12, 2), nullable=nullable)


malls = Table(
    "malls",
    metadata,
    Column("source", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("callback_kind", Text, comment="default callback of orders that name none"),
    Column("callback_address", Text),
    Column("callback_hosts", ARRAY(Text), nullable=False, comment="hosts that callbacks may be sent to, without ports"),
    Column("routing_key_prefixes", ARRAY(Text), nullable=False, comment="what routing keys of callbacks begin with"),
    Column("webhook_secrets", ARRAY(Text), nullable=False, comment="newest first; two are valid during a rotation"),
    Column("local", Boolean, nullable=False, comment="callbacks may be sent to private addresses"),
    Column(
        "request_limit", Integer, nullable=False, server_default="2000", comment="requests per second; above it, rate_limited"
    ),
    Column(
        "legacy_networks",
        ARRAY(CIDR),
        nullable=False,
        server_default="{}",
        comment="from where the legacy format, which has no credentials, may act for the mall",
    ),
    Column(
        "sequence_from",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="events get higher sequences; after a restore, so that no sequence is given to two events",
    ),
    CheckConstraint("request_limit > 0", name="request_limit"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_hash", LargeBinary, primary_key=True, comment="SHA-256; the key itself is not stored"),
    Column("name", Text, nullable=False),
    Column("source", ForeignKey("malls.source"), comment="the mall it belongs to; null: an operator's key"),
    _moment("created_at"),
    _moment("revoked_at", nullable=True),
    Column("key_id", Text, nullable=False, unique=True, comment="first bytes of the hash, the public id"),
    Column("scopes", ARRAY(Text), nullable=False, comment="granted permissions"),
    Column("last_used_at", DateTime(timezone=True), comment="accurate to about a minute"),
    CheckConstraint(
        "scopes <@ CASE WHEN source IS NULL THEN ARRAY['read', 'support', 'ops', 'admin'] ELSE ARRAY['read', 'trade'] END"
        " AND scopes <> '{}'",
        name="scopes",
    ),
    # The audit and the logs name keys: also a revoked key's name stays its own.
    Index("api_keys_name_idx", text("lower(name)"), unique=True),
)

goods = Table(
    "goods",
    metadata,
    Column("goods_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _money("original_price"),
    CheckConstraint("original_price > 0", name="original_price"),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("campaign_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    _moment("starts_at"),
    _moment("ends_at"),
    Column("target_count", Integer, nullable=False),
    Column("min_count", Integer),
    Column("lock_ttl", Integer, nullable=False),
    Column("payment_grace", Integer, nullable=False),
    Column("team_ttl", Integer, nullable=False),
    Column("refund_window", Integer, nullable=False),
    Column("take_limit", Integer, nullable=False),
    Column("stock", Integer, comment="copy of campaign_stock.stock, which orders are counted against"),
    Column("discount", JSONB, nullable=False),
    Column("merchant_share", Integer, nullable=False, comment="percent of the discount that the mall bears"),
    Column("audience", Text),
    Column("audience_scope", ARRAY(Text), nullable=False),
    Column("currency", Text, nullable=False),
    _moment("updated_at"),
    CheckConstraint("status IN ('draft', 'active', 'paused', 'draining', 'ended')", name="status"),
    CheckConstraint("merchant_share BETWEEN 0 AND 100", name="merchant_share"),
)

campaign_goods = Table(
    "campaign_goods",
    metadata,
    Column("campaign_id", ForeignKey("campaigns.campaign_id"), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("goods_id", ForeignKey("goods.goods_id"), primary_key=True),
    Index("campaign_goods_channel_idx", "source", "channel", "goods_id"),
)

campaign_stock = Table(
    "campaign_stock",
    metadata,
    Column("campaign_id", ForeignKey("campaigns.campaign_id"), primary_key=True),
    Column("stock", Integer, nullable=False),
    Column("live", Integer, nullable=False),
    CheckConstraint("0 <= live AND live <= stock", name="live"),
    comment="One row for each campaign with a stock; all its orders share it.",
)

campaign_shutdowns = Table(
    "campaign_shutdowns",
    metadata,
    Column("campaign_id", ForeignKey("campaigns.campaign_id"), primary_key=True),
    Column("begun_by", Text, nullable=False, comment="name of the API key"),
    Column("reason", Text, nullable=False),
    _moment("begun_at"),
    Column("finished_at", DateTime(timezone=True), comment="no team is forming and every refund is done"),
)

campaign_shutdown_teams = Table(
    "campaign_shutdown_teams",
    metadata,
    Column("campaign_id", ForeignKey("campaign_shutdowns.campaign_id"), primary_key=True),
    Column(
        "team_id",
        Text,
        primary_key=True,
        comment="no foreign key: its row lock on teams would come after the quotas, against the lock order",
    ),
    comment="The teams that were forming when the shutdown began; none can be opened afterwards.",
)

user_quotas = Table(
    "user_quotas",
    metadata,
    Column("campaign_id", Integer, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("live", Integer, nullable=False),
    Column("removed", Integer, nullable=False, server_default="0", comment="of these, those whose orders retention removed"),
    CheckConstraint("live >= 0", name="live"),
    CheckConstraint("0 <= removed AND removed <= live", name="removed"),
)

teams = Table(
    "teams",
    metadata,
    Column("team_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("campaign_id", Integer, nullable=False),
    Column("campaign_version", Integer, nullable=False),
    Column("goods_id", Text, nullable=False),
    _money("original_price"),
    Column("discount", JSONB, nullable=False),
    Column("merchant_share", Integer, nullable=False, comment="percent of the discount that the mall bears"),
    Column("target_count", Integer, nullable=False),
    Column("min_count", Integer),
    Column("lock_ttl", Integer, nullable=False),
    Column("payment_grace", Integer, nullable=False),
    Column("refund_window", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("lock_count", Integer, nullable=False),
    Column("complete_count", Integer, nullable=False),
    _moment("opened_at"),
    _moment("deadline"),
    _moment("completed_at", nullable=True),
    Column("completion", Text),
    _moment("failed_at", nullable=True),
    Column("fail_reason", Text),
    Column(
        "version",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="incremented in every transaction that changes the team or its orders",
    ),
    Column(
        "admitted",
        Text,
        nullable=False,
        server_default="orchestrated",
        comment="direct: a seat or a payment was admitted beside the team's workflow",
    ),
    Column("taken_over_at", DateTime(timezone=True), comment="when its workflow took the latest direct admission over"),
    Column(
        "unearned_booked_at",
        DateTime(timezone=True),
        comment="when it was booked what its members who left made unearned; null again when another one leaves",
    ),
    CheckConstraint("merchant_share BETWEEN 0 AND 100", name="merchant_share"),
    CheckConstraint("admitted IN ('orchestrated', 'direct')", name="admitted"),
    CheckConstraint("status IN ('forming', 'completed', 'completed_with_refunds', 'failed')", name="status"),
    CheckConstraint("0 <= complete_count AND complete_count <= lock_count AND lock_count <= target_count", name="counts"),
    CheckConstraint("(completed_at IS NULL) = (completion IS NULL)", name="completion"),
    CheckConstraint("status NOT IN ('completed', 'completed_with_refunds') OR completed_at IS NOT NULL", name="completed"),
    CheckConstraint("(status = 'failed') = (failed_at IS NOT NULL)", name="failed"),
    Index("teams_forming_idx", "deadline", "team_id", postgresql_where=text("status = 'forming'")),
    # By the end of the refund window. An index takes no expression that depends on a setting: hence UTC without a time zone.
    Index(
        "teams_refundable_idx",
        text("((completed_at AT TIME ZONE 'UTC') + refund_window * '00:00:01'::interval)"),
        "team_id",
        postgresql_where=text("status IN ('completed', 'completed_with_refunds')"),
    ),
    Index("teams_failed_idx", "failed_at", postgresql_where=text("status = 'failed' AND complete_count > 0")),
    Index("teams_completed_idx", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
    # Completed teams whose members left, by the end of their refund window, until what they did not earn is booked.
    Index(
        "teams_unbooked_idx",
        text("((completed_at AT TIME ZONE 'UTC') + refund_window * '00:00:01'::interval)"),
        "team_id",
        postgresql_where=text("completed_at IS NOT NULL AND status <> 'completed' AND unearned_booked_at IS NULL"),
    ),
    Index("teams_opened_idx", "opened_at", "team_id"),
    Index("teams_campaign_idx", "campaign_id", "opened_at"),
    # Joinable teams: most complete first, then nearest deadline. `lock_count` is in neither columns nor condition, because
    # locking or releasing a seat must not update an index.
    Index(
        "teams_joinable_idx",
        "source",
        "campaign_id",
        "goods_id",
        text("(target_count - complete_count)"),
        "deadline",
        postgresql_where=text("status = 'forming'"),
    ),
    # Every seat updates the counters: free space on the page makes these heap-only updates, without index writes.
    postgresql_with={"fillfactor": 70},
)

team_wakeups = Table(
    "team_wakeups",
    metadata,
    Column("team_id", Text, primary_key=True),
    Column("since", DateTime(timezone=True), nullable=False, comment="the first change that the workflow has not taken over"),
    Column("due_at", DateTime(timezone=True), nullable=False, comment="when the team's workflow has something to do"),
    Column("urgency", Integer, nullable=False, comment="domain.wakeups.Urgency"),
    Column("locks", Integer, nullable=False, comment="seats admitted directly since the last take-over"),
    Column("payments", Integer, nullable=False, comment="payments admitted directly since the last take-over"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="times that the workflow was told"),
    Column("next_try_at", DateTime(timezone=True), nullable=False, comment="when the workflow is told, or told again"),
    Column("error", Text, comment="why telling it failed"),
    Index("team_wakeups_urgent_idx", text("urgency DESC"), "due_at", "since"),
    Index("team_wakeups_oldest_idx", "since"),
    comment="Teams whose rows were changed by somebody else than their workflow, until it has taken the change over.",
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("out_trade_no", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("team_id", ForeignKey("teams.team_id"), nullable=False),
    Column("opened_team", Boolean, nullable=False, comment="the request named no team, so this order opened it"),
    Column("campaign_id", Integer, nullable=False),
    Column("goods_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("live", Boolean, nullable=False, comment="holds a seat and counts against the quotas"),
    _money("original_price"),
    _money("deduction"),
    Column("merchant_deduction", Numeric(12, 2), nullable=False, comment="the mall's part of the deduction"),
    _money("pay_price"),
    Column("take_limit", Integer, nullable=False, comment="the take limit it was admitted under"),
    Column("callback_kind", Text),
    Column("callback_address", Text),
    Column("callback_format", Text, nullable=False),
    _moment("locked_at"),
    _moment("lock_expires_at"),
    Column("cancel_reason", Text),
    _moment("cancelled_at", nullable=True),
    _money("paid_amount", nullable=True),
    _moment("paid_at", nullable=True),
    _moment("payment_reported_at", nullable=True),
    Column("payment_outcome", Text),
    Column("payment_reason", Text),
    Column("admitted_by", Text, nullable=False, server_default="", comment="id of the request that took the seat"),
    Column("payment_admitted_by", Text, comment="id of the request that reported the payment"),
    UniqueConstraint("source", "out_trade_no"),
    CheckConstraint("status IN ('locked', 'paid', 'refunding', 'refunded', 'cancelled')", name="status"),
    CheckConstraint("status = 'refunding' OR live = (status IN ('locked', 'paid'))", name="live"),
    CheckConstraint("status <> 'cancelled' OR cancel_reason IS NOT NULL", name="cancelled"),
    CheckConstraint("(paid_amount IS NULL) = (payment_outcome IS NULL)", name="payment"),
    CheckConstraint("status NOT IN ('paid', 'refunding', 'refunded') OR paid_amount IS NOT NULL", name="paid"),
    CheckConstraint("deduction + pay_price = original_price", name="price"),
    CheckConstraint("0 <= merchant_deduction AND merchant_deduction <= deduction", name="merchant_deduction"),
    Index("orders_one_seat_idx", "team_id", "user_id", unique=True, postgresql_where=text("live")),
    Index("orders_team_idx", "team_id", "locked_at"),
    # The user first: with the source first, the planner could use it to find an order by number and scan all of a mall's.
    Index("orders_user_idx", "user_id", "source", "locked_at", "order_id"),
    Index("orders_locked_at_idx", "locked_at", "order_id"),
    Index("orders_refunding_idx", "order_id", postgresql_where=text("status = 'refunding'")),
    # For the release of late seats, which asks every other second.
    Index("orders_unpaid_idx", "lock_expires_at", "team_id", postgresql_where=text("""status COLLATE "C" = 'locked'""")),
    # For lists; neither a lock nor a payment writes it.
    Index("orders_undone_idx", "status", "locked_at", "order_id", postgresql_where=text("status IN ('cancelled', 'refunded')")),
    postgresql_with={"fillfactor": 80},
)

refunds = Table(
    "refunds",
    metadata,
    Column("order_id", ForeignKey("orders.order_id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, comment="1 + finished refunds of this order"),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("operator", Text, comment="the operator who requested it or acted last; null: the buyer or the platform"),
    Column("note", Text, comment="the mall's or an operator's note"),
    _money("amount"),
    Column("question", Text, unique=True, comment="event id of order.refund_requested, sent before anything is released"),
    Column("answer", Text, comment="agreed or vetoed, by the mall or by an operator for it"),
    _moment("requested_at"),
    _moment("released_at", nullable=True),
    _moment("finished_at", nullable=True),
    Column("checked_at", DateTime(timezone=True), nullable=False, comment="when its workflow was last (re)started or checked"),
    CheckConstraint("kind IN ('unpaid', 'paid_unformed', 'paid_formed', 'unsettled')", name="kind"),
    CheckConstraint("status IN ('requested', 'awaiting_mall', 'done', 'rejected', 'attention')", name="status"),
    CheckConstraint("(finished_at IS NULL) = (status NOT IN ('done', 'rejected'))", name="finished"),
    CheckConstraint("answer IS NULL OR (question IS NOT NULL AND answer IN ('agreed', 'vetoed'))", name="answer"),
    CheckConstraint("status <> 'rejected' OR (released_at IS NULL AND answer = 'vetoed')", name="rejected"),
    CheckConstraint("status <> 'done' OR released_at IS NOT NULL", name="released"),
    Index("refunds_one_open_idx", "order_id", unique=True, postgresql_where=text("finished_at IS NULL")),
    Index("refunds_unfinished_idx", "checked_at", postgresql_where=text("finished_at IS NULL")),
    Index("refunds_requested_idx", "requested_at", "order_id"),
    Index("refunds_attention_idx", "requested_at", postgresql_where=text("status = 'attention'")),
    # Members who left completed teams.
    Index("refunds_left_idx", "released_at", postgresql_where=text("kind = 'paid_formed'")),
)

removed_orders = Table(
    "removed_orders",
    metadata,
    Column("order_id", Text, primary_key=True, comment="which follows from the mall and its out_trade_no"),
    comment="The orders that retention removed: none is made again under their numbers.",
)

archived_teams = Table(
    "archived_teams",
    metadata,
    Column("team_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("archived_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("user_ids", ARRAY(Text), nullable=False, comment="of the record's orders, in their order: they can be erased"),
    Column("record", JSONB, nullable=False, comment="team, orders, refunds, events with deliveries, ... as the rows were"),
    # For the erasure of a user's id.
    Index("archived_teams_users_idx", "user_ids", postgresql_using="gin"),
    comment="The teams that retention archived when it removed them.",
)

removed_teams = Table(
    "removed_teams",
    metadata,
    Column("campaign_id", Integer, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("teams", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False, comment="also those that members left"),
    Column("failed", BigInteger, nullable=False),
    Column("live_seats", BigInteger, nullable=False),
    Column("paid_seats", BigInteger, nullable=False),
    Column("before", DateTime(timezone=True), nullable=False, comment="nothing happened in these teams from then on"),
    comment="The teams that retention removed, counted.",
)

unearned_discounts = Table(
    "unearned_discounts",
    metadata,
    Column("team_id", ForeignKey("teams.team_id"), primary_key=True),
    Column("booking", Integer, primary_key=True, comment="1 + bookings of this team"),
    Column("source", Text, nullable=False),
    _moment("booked_at"),
    Column("needed", Integer, nullable=False, comment="members with whom the team earns its price"),
    Column("stayed", Integer, nullable=False),
    Column("merchant", Numeric(18, 2), nullable=False, comment="negative where a later booking takes back"),
    Column("platform", Numeric(18, 2), nullable=False),
    Index("unearned_discounts_booked_at_idx", "booked_at"),
    comment="What completed teams did not earn because members left: the differences to what was booked of the team before.",
)

switches = Table(
    "switches",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", Text, nullable=False),
    _moment("changed_at"),
)

audiences = Table(
    "audiences",
    metadata,
    Column("audience_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("import_id", BigInteger, comment="the import whose members are in force; null: no members were ever imported"),
    Column("member_count", BigInteger, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    CheckConstraint("member_count >= 0", name="member_count"),
    CheckConstraint("import_id IS NOT NULL OR member_count = 0", name="import"),
    Index("audiences_created_idx", "created_at", "audience_id"),
)

audience_imports = Table(
    "audience_imports",
    metadata,
    Column("import_id", BigInteger, Identity(always=True), primary_key=True),
    Column("audience_id", ForeignKey("audiences.audience_id"), nullable=False),
    Column("kind", Text, nullable=False, comment="upload, or rule: a query over the orders"),
    Column("rule", JSONB),
    Column("status", Text, nullable=False),
    Column("failure", Text, comment="why it failed, shown to operators"),
    Column("seen", BigInteger, nullable=False, comment="upload: lines read; rule: users with a matching order"),
    Column("accepted", BigInteger, nullable=False, comment="upload: lines that name a user; rule: users added"),
    Column("bad", BigInteger, nullable=False, comment="upload: lines that name no user"),
    Column("member_count", BigInteger, nullable=False, comment="updated in the transactions that add members"),
    Column("last_user", Text, nullable=False, comment="rule: the last user evaluated"),
    Column("report", JSONB, nullable=False, comment="the first bad lines: line number and reason"),
    Column("author", JSONB, nullable=False, comment="who started it"),
    _moment("started_at"),
    _moment("last_progress_at"),
    _moment("finished_at", nullable=True),
    Column("cleared_at", DateTime(timezone=True), comment="when its members were deleted, after another import replaced them"),
    CheckConstraint("kind IN ('upload', 'rule')", name="kind"),
    CheckConstraint("(kind = 'rule') = (rule IS NOT NULL)", name="rule"),
    CheckConstraint("status IN ('running', 'done', 'failed')", name="status"),
    CheckConstraint("(finished_at IS NULL) = (status = 'running')", name="finished"),
    CheckConstraint("(failure IS NULL) = (status <> 'failed')", name="failure"),
    CheckConstraint("0 <= member_count AND member_count <= accepted AND accepted + bad <= seen", name="counts"),
    Index("audience_imports_audience_idx", "audience_id", "import_id"),
    Index("audience_imports_one_running_idx", "audience_id", unique=True, postgresql_where=text("status = 'running'")),
    Index("audience_imports_kept_idx", "import_id", postgresql_where=text("cleared_at IS NULL")),
)

audience_members = Table(
    "audience_members",
    metadata,
    Column("import_id", BigInteger, primary_key=True),
    Column("user_id", Text, primary_key=True),
    comment="The members of every import. An audience names the import in force, so one row replaces all its members.",
)

payment_conflicts = Table(
    "payment_conflicts",
    metadata,
    Column("conflict_no", BigInteger, Identity(always=True), primary_key=True),
    Column("order_id", ForeignKey("orders.order_id"), nullable=False, index=True),
    _money("amount"),
    _moment("paid_at"),
    _moment("reported_at"),
    Column("resolved_at", DateTime(timezone=True), comment="when an operator settled it: the audit says who, and how"),
    UniqueConstraint("order_id", "amount"),
    Index("payment_conflicts_open_idx", "reported_at", postgresql_where=text("resolved_at IS NULL")),
    comment="A different amount reported for an order that is already paid: needs an operator.",
)

events = Table(
    "events",
    metadata,
    Column("event_no", BigInteger, Identity(always=True), primary_key=True, comment="insertion order"),
    Column("event_id", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("order_id", Text, comment="null: an event of the whole team"),
    Column("data", JSONB, nullable=False),
    _moment("occurred_at"),
    Column("sequence", BigInteger, comment="per mall, without gaps; assigned after commit"),
    UniqueConstraint("source", "sequence"),
    Index("events_team_idx", "team_id"),
    Index("events_source_idx", "source", "occurred_at", "event_no"),
    Index("events_unsequenced_idx", "source", "event_no", postgresql_where=text("sequence IS NULL")),
)

redeliveries = Table(
    "redeliveries",
    metadata,
    Column("redelivery_id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    _moment("since"),
    _moment("until"),
    Column("status", Text, nullable=False, comment="of the callbacks that are sent again"),
    Column("count", BigInteger, nullable=False, comment="events of the range when it was requested"),
    Column("resent", BigInteger, nullable=False, comment="events that were made due, or left to their refunds' workflows"),
    Column("refunds", BigInteger, nullable=False, comment="events among these that were left to their refunds' workflows"),
    Column("after_at", DateTime(timezone=True), nullable=False, comment="the last event looked at: its time, and its number"),
    Column("after_no", BigInteger, nullable=False),
    Column("is_exhausted", Boolean, nullable=False, comment="every event of the range was looked at"),
    Column("requested_by", Text, nullable=False, comment="name of the API key"),
    _moment("requested_at"),
    Column("gives_up_at", DateTime(timezone=True), nullable=False, comment="nothing is attempted or made due after this"),
    _moment("finished_at", nullable=True),
    CheckConstraint("status IN ('dead', 'delivered', 'pending', 'all')", name="status"),
    Index(
        "redeliveries_unfinished_idx",
        "source",
        "since",
        "until",
        "status",
        unique=True,
        postgresql_where=text("finished_at IS NULL"),
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", ForeignKey("events.event_id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("format", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    _moment("since"),
    _moment("next_attempt_at"),
    _moment("finished_at", nullable=True),
    Column("redelivery_id", ForeignKey("redeliveries.redelivery_id"), comment="of a range, which made it due last"),
    CheckConstraint("status IN ('pending', 'delivered', 'dead', 'closed')", name="status"),
    Index("deliveries_pending_idx", "next_attempt_at", postgresql_where=text("status = 'pending'")),
    Index(
        "deliveries_redelivery_idx",
        "redelivery_id",
        "status",
        "next_attempt_at",
        postgresql_where=text("redelivery_id IS NOT NULL"),
    ),
    Index("deliveries_dead_idx", "finished_at", postgresql_where=text("status = 'dead'")),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("attempt_no", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("format", Text, nullable=False),
    _moment("started_at"),
    Column("duration_ms", Integer, nullable=False),
    Column("http_status", Integer),
    Column("error", Text),
)

reconciliation_findings = Table(
    "reconciliation_findings",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True, comment="id of the team or order, or the mall's source"),
    Column("detail", Text, nullable=False),
    Column("times", Integer, nullable=False),
    _moment("first_seen_at"),
    _moment("last_seen_at"),
    _moment("next_try_at"),
    Index("reconciliation_findings_seen_idx", "first_seen_at"),
    comment="What reconciliation could not do, or found missing. Deleted when it is done or there.",
)

reconciliation_cursors = Table(
    "reconciliation_cursors",
    metadata,
    Column("name", Text, primary_key=True),
    _moment("after_at"),
    Column("after_id", Text, nullable=False),
    _moment("begun_at"),
    Column("last_begun_at", DateTime(timezone=True), comment="when the last complete pass began"),
    Column("last_finished_at", DateTime(timezone=True)),
    comment="How far reconciliation has come with what it looks at in turn: after which row the next slice begins.",
)

daily_statistics = Table(
    "daily_statistics",
    metadata,
    Column("day", Date, primary_key=True, comment="of UTC"),
    Column("source", Text, primary_key=True, comment="empty: all malls together"),
    Column("quotes", BigInteger, nullable=False),
    Column("teams_opened", Integer, nullable=False),
    Column("teams_completed", Integer, nullable=False),
    Column("teams_failed", Integer, nullable=False),
    Column("seats_locked", Integer, nullable=False),
    Column("seats_paid", Integer, nullable=False),
    Column("seats_completed", Integer, nullable=False),
    Column("seats_lapsed", Integer, nullable=False),
    Column("amount_paid", Numeric(18, 2), nullable=False),
    Column("discount", Numeric(18, 2), nullable=False),
    Column("refunds_unpaid", Integer, nullable=False),
    Column("refunds_paid_unformed", Integer, nullable=False),
    Column("refunds_paid_formed", Integer, nullable=False),
    Column("refunds_unsettled", Integer, nullable=False),
    Column("amount_refunded", Numeric(18, 2), nullable=False),
    Column("form_seconds_median", Double),
    Column("form_seconds_p90", Double),
    Column("callback_attempts", BigInteger, nullable=False),
    Column("callbacks_delivered", Integer, nullable=False),
    Column("callbacks_dead", Integer, nullable=False),
    Column("callback_seconds_median", Double),
    Column("callback_seconds_p90", Double),
    _moment("counted_at"),
    comment="What became of what began on a day: counted again and again from the other tables. Nothing decides by it.",
)

quote_counts = Table(
    "quote_counts",
    metadata,
    Column("day", Date, primary_key=True, comment="of UTC"),
    Column("source", Text, primary_key=True),
    Column("campaign_id", Integer, primary_key=True),
    Column("quotes", BigInteger, nullable=False),
    Index("quote_counts_campaign_idx", "campaign_id"),
    comment="Quotes that were answered: API processes add what they have counted every few seconds.",
)

daily_settlements = Table(
    "daily_settlements",
    metadata,
    Column("day", Date, primary_key=True, comment="of UTC"),
    Column("source", Text, primary_key=True),
    Column("orders", Integer, nullable=False, comment="of teams that were completed on this day"),
    Column("sales", Numeric(18, 2), nullable=False),
    Column("merchant_discount", Numeric(18, 2), nullable=False),
    Column("platform_discount", Numeric(18, 2), nullable=False),
    Column("refunded_orders", Integer, nullable=False, comment="of members who left a completed team on this day"),
    Column("refunds", Numeric(18, 2), nullable=False),
    Column("refunded_merchant_discount", Numeric(18, 2), nullable=False),
    Column("refunded_platform_discount", Numeric(18, 2), nullable=False),
    Column("unearned_merchant_discount", Numeric(18, 2), nullable=False, comment="booked on this day"),
    Column("unearned_platform_discount", Numeric(18, 2), nullable=False),
    _moment("counted_at"),
    comment="What each mall's trade came to on a day: groupbuy_settlement, counted again until the day is over for long.",
)

exports = Table(
    "exports",
    metadata,
    Column("export_id", Text, primary_key=True, comment="of the act that began it"),
    Column("kind", Text, nullable=False),
    Column("filters", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure", Text, comment="why it failed, shown to operators"),
    Column("rows", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("after_at", DateTime(timezone=True), comment="the last row written: its time, and its id"),
    Column("after_id", Text),
    Column("requested_by", Text, nullable=False, comment="name of the API key"),
    _moment("requested_at"),
    _moment("finished_at", nullable=True),
    _moment("kept_until", nullable=True),
    CheckConstraint("status IN ('running', 'done', 'failed')", name="status"),
    CheckConstraint("(finished_at IS NULL) = (status = 'running')", name="finished"),
    CheckConstraint("(kept_until IS NULL) = (status = 'running')", name="kept"),
    Index("exports_requested_at_idx", "requested_at"),
)

export_chunks = Table(
    "export_chunks",
    metadata,
    Column("export_id", ForeignKey("exports.export_id", ondelete="CASCADE"), primary_key=True),
    Column("chunk_no", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False, comment="compressed by gzip"),
    comment="The files of exports, in parts.",
)

changes = Table(
    "changes",
    metadata,
    Column("change_no", BigInteger, Identity(always=True), primary_key=True),
    _moment("changed_at"),
    Column("changed_by", Text, nullable=False, comment="name of the API key, or who a signal says it is from"),
    Column("via", Text, nullable=False, comment="the way it came"),
    Column("key_id", Text),
    Column("request_id", Text),
    Column("address", Text, comment="where the request came from"),
    Column("subject", Text, nullable=False, comment="what was changed, e.g. campaign/100123"),
    Column("action", Text, nullable=False, comment="set, or an operator's act"),
    Column("reason", Text),
    Column("changed", Boolean, nullable=False, comment="false: the act changed nothing"),
    Column("outcome", Text, comment="what came of an act"),
    Column("content", JSONB, comment="set: the complete new content"),
    Column("act_id", Text, comment="an act that arrives again is found by it"),
    CheckConstraint("via IN ('api', 'console', 'signal', 'command_line')", name="via"),
    CheckConstraint("(action = 'set') = (content IS NOT NULL)", name="content"),
    CheckConstraint("(action = 'set') = (outcome IS NULL)", name="outcome"),
    UniqueConstraint("act_id", "subject"),
    Index("changes_subject_idx", "subject", "change_no"),
    Index("changes_changed_by_idx", "changed_by", "change_no"),
    comment="The audit. Append-only: a trigger refuses updates and deletes.",
)
