CREATE OR REPLACE FUNCTION groupbuy_campaign_violations() RETURNS TABLE (invariant integer, subject text, detail text)
LANGUAGE sql STABLE AS $$
  -- Returns the violations of invariant 5 in what all teams of a campaign share.
  WITH live AS (
    SELECT campaign_id, count(*) AS orders FROM orders WHERE live GROUP BY campaign_id
  ), counted AS (
    SELECT campaign_id, sum(live - removed) AS orders, sum(removed) AS removed FROM user_quotas GROUP BY campaign_id
  )
  SELECT 5, 'user quotas of campaign ' || campaign_id,
         format('%s live orders, counted %s', coalesce(live.orders, 0), coalesce(counted.orders, 0))
    FROM live FULL JOIN counted USING (campaign_id) WHERE coalesce(live.orders, 0) <> coalesce(counted.orders, 0)
  UNION ALL
  SELECT 5, 'stock of campaign ' || s.campaign_id,
         format('%s live orders and %s removed ones, stock %s, counted %s', coalesce(live.orders, 0),
                coalesce(counted.removed, 0), s.stock, s.live)
    FROM campaign_stock s LEFT JOIN live USING (campaign_id) LEFT JOIN counted USING (campaign_id)
   WHERE coalesce(live.orders, 0) + coalesce(counted.removed, 0) <> s.live OR s.live > s.stock
$$
