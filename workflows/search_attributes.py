"""What operators can search workflows by. Changed only when a state changes: each change is an event and a write."""

from temporalio.common import SearchAttributeKey

MALL = SearchAttributeKey.for_keyword("Mall")
CAMPAIGN_ID = SearchAttributeKey.for_keyword("CampaignId")
TEAM_STATUS = SearchAttributeKey.for_keyword("TeamStatus")
REFUND_KIND = SearchAttributeKey.for_keyword("RefundKind")
REFUND_STATUS = SearchAttributeKey.for_keyword("RefundStatus")
OUT_TRADE_NO = SearchAttributeKey.for_keyword("OutTradeNo")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")

ALL = (MALL, CAMPAIGN_ID, TEAM_STATUS, REFUND_KIND, REFUND_STATUS, OUT_TRADE_NO, NEEDS_ATTENTION)
