"""Keys have ids, scopes and a last use, malls a request limit; changed settings are told to whoever remembers them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Whoever changes a row of a setting, by whatever hand, tells so in the same transaction: e.g. campaign/100123.
TELL = """
CREATE FUNCTION groupbuy_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('groupbuy_changed', TG_ARGV[0] || '/' || (to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[1]));
  RETURN NULL;
END
$$
"""
TOLD = (
    ("switches", "switch", "name", "UPDATE"),
    ("malls", "mall", "source", "UPDATE"),
    ("api_keys", "key", "key_id", "UPDATE OF name, source, scopes, revoked_at"),
    ("goods", "goods", "goods_id", "UPDATE"),
    ("campaigns", "campaign", "campaign_id", "UPDATE"),
    ("audiences", "audience", "audience_id", "UPDATE"),
)


def upgrade() -> None:
    op.add_column(
        "malls",
        sa.Column(
            "request_limit",
            sa.Integer(),
            nullable=False,
            server_default="2000",
            comment="requests a second; above it: rate_limited",
        ),
    )
    op.create_check_constraint(op.f("malls_request_limit_check"), "malls", "request_limit > 0")

    op.add_column("api_keys", sa.Column("key_id", sa.Text(), comment="the beginning of the hash: what people call it by"))
    op.add_column("api_keys", sa.Column("scopes", postgresql.ARRAY(sa.Text()), comment="what it may do"))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), comment="to about a minute"))
    op.execute("UPDATE api_keys SET key_id = 'key-' || encode(substr(key_hash, 1, 8), 'hex')")
    op.execute("UPDATE api_keys SET scopes = CASE WHEN source IS NULL THEN ARRAY['admin'] ELSE ARRAY['trade'] END")
    op.alter_column("api_keys", "key_id", nullable=False)
    op.alter_column("api_keys", "scopes", nullable=False)
    op.create_unique_constraint(op.f("api_keys_key_id_key"), "api_keys", ["key_id"])
    # A mall's key may do what malls do, a key of operations what operators do.
    op.create_check_constraint(
        op.f("api_keys_scopes_check"),
        "api_keys",
        "scopes <@ CASE WHEN source IS NULL THEN ARRAY['ops', 'admin'] ELSE ARRAY['read', 'trade'] END AND scopes <> '{}'",
    )

    op.create_index("changes_changed_by_idx", "changes", ["changed_by", "change_no"])

    op.execute(TELL)
    for table, kind, column, update in TOLD:
        op.execute(
            f"CREATE TRIGGER {table}_tell AFTER INSERT OR DELETE OR {update} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION groupbuy_tell('{kind}', '{column}')"
        )
