"""Audiences"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audiences",
        sa.Column("audience_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filling", sa.BigInteger(), comment="whose members are in force; null: it was never filled, and has none"),
        sa.Column("member_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("member_count >= 0", name=op.f("audiences_member_count_check")),
        sa.CheckConstraint("filling IS NOT NULL OR member_count = 0", name=op.f("audiences_filling_check")),
        sa.PrimaryKeyConstraint("audience_id", name=op.f("audiences_pkey")),
    )
    op.create_index("audiences_created_idx", "audiences", ["created_at", "audience_id"])
    op.create_table(
        "audience_fillings",
        sa.Column("filling", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("audience_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="upload, or rule: a query over the orders"),
        sa.Column("rule", postgresql.JSONB()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), comment="why it failed, for people"),
        sa.Column("seen", sa.BigInteger(), nullable=False, comment="lines read; of a rule, users with an order that counts"),
        sa.Column("accepted", sa.BigInteger(), nullable=False, comment="lines that named a user"),
        sa.Column("bad", sa.BigInteger(), nullable=False, comment="lines that did not"),
        sa.Column("member_count", sa.BigInteger(), nullable=False, comment="counted in the transactions that add the members"),
        sa.Column("last_user", sa.Text(), nullable=False, comment="the last user that a rule has looked at"),
        sa.Column(
            "report",
            postgresql.JSONB(),
            nullable=False,
            comment="the first bad lines, each with its number and what is wrong with it",
        ),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False, comment="its last progress"),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column(
            "cleared_at",
            sa.DateTime(timezone=True),
            comment="when its members were deleted, after others took their place",
        ),
        sa.CheckConstraint("kind IN ('upload', 'rule')", name=op.f("audience_fillings_kind_check")),
        sa.CheckConstraint("(kind = 'rule') = (rule IS NOT NULL)", name=op.f("audience_fillings_rule_check")),
        sa.CheckConstraint("status IN ('running', 'done', 'failed')", name=op.f("audience_fillings_status_check")),
        sa.CheckConstraint("(finished_at IS NULL) = (status = 'running')", name=op.f("audience_fillings_finished_check")),
        sa.CheckConstraint("(failure IS NULL) = (status <> 'failed')", name=op.f("audience_fillings_failure_check")),
        sa.CheckConstraint(
            "0 <= member_count AND member_count <= accepted AND accepted + bad <= seen",
            name=op.f("audience_fillings_counts_check"),
        ),
        sa.ForeignKeyConstraint(["audience_id"], ["audiences.audience_id"], name=op.f("audience_fillings_audience_id_fkey")),
        sa.PrimaryKeyConstraint("filling", name=op.f("audience_fillings_pkey")),
    )
    op.create_index("audience_fillings_audience_idx", "audience_fillings", ["audience_id", "filling"])
    op.create_index(
        "audience_fillings_one_running_idx",
        "audience_fillings",
        ["audience_id"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "audience_fillings_kept_idx", "audience_fillings", ["filling"], postgresql_where=sa.text("cleared_at IS NULL")
    )
    op.create_table(
        "audience_members",
        sa.Column("filling", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("filling", "user_id", name=op.f("audience_members_pkey")),
        comment="The members of every filling; an audience names the one in force, so that it is replaced in one row.",
    )
