CREATE OR REPLACE FUNCTION groupbuy_settlement(since timestamptz, until timestamptz)
RETURNS TABLE (source text, orders bigint, sales numeric, merchant_discount numeric, platform_discount numeric,
               refunded_orders bigint, refunds numeric, refunded_merchant_discount numeric, refunded_platform_discount numeric,
               unearned_merchant_discount numeric, unearned_platform_discount numeric)
LANGUAGE sql STABLE AS $$
  -- What each mall's trade came to in a period: orders count when their team is completed, refunds when a member leaves a
  -- completed team, unearned discounts when they are booked. Money that was returned before the completion was no sale.
  -- OFFSET 0 makes the planner look up the rows of each team and refund by their keys.
  WITH sold AS (
    SELECT t.source, count(*) AS orders, sum(o.pay_price) AS sales, sum(o.merchant_deduction) AS merchant,
           sum(o.deduction - o.merchant_deduction) AS platform
      FROM teams t CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.team_id = t.team_id OFFSET 0) o
     WHERE t.completed_at >= since AND t.completed_at < until
       AND (o.live OR o.status IN ('refunding', 'refunded') AND EXISTS (
              SELECT FROM refunds r WHERE r.order_id = o.order_id AND r.kind = 'paid_formed' AND r.released_at IS NOT NULL))
     GROUP BY t.source
  ), returned AS (
    SELECT o.source, count(*) AS orders, sum(r.amount) AS amount, sum(o.merchant_deduction) AS merchant,
           sum(o.deduction - o.merchant_deduction) AS platform
      FROM refunds r CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.order_id = r.order_id OFFSET 0) o
     WHERE r.kind = 'paid_formed' AND r.released_at >= since AND r.released_at < until
     GROUP BY o.source
  ), unearned AS (
    SELECT u.source, sum(u.merchant) AS merchant, sum(u.platform) AS platform
      FROM unearned_discounts u WHERE u.booked_at >= since AND u.booked_at < until GROUP BY u.source
  )
  SELECT source, coalesce(sold.orders, 0), coalesce(sold.sales, 0), coalesce(sold.merchant, 0), coalesce(sold.platform, 0),
         coalesce(returned.orders, 0), coalesce(returned.amount, 0), coalesce(returned.merchant, 0),
         coalesce(returned.platform, 0), coalesce(unearned.merchant, 0), coalesce(unearned.platform, 0)
    FROM sold FULL JOIN returned USING (source) FULL JOIN unearned USING (source)
$$
