CREATE OR REPLACE FUNCTION groupbuy_invariants() RETURNS TABLE (invariant integer, subject text, detail text)
LANGUAGE sql STABLE AS $$
  -- Returns the violations of the invariants in docs/rules.md, by their numbers there; no row if all of them hold.
  WITH live AS (
    SELECT t.team_id, t.lock_count, t.complete_count, count(o.order_id) FILTER (WHERE o.live) AS seats,
           count(o.order_id) FILTER (WHERE o.live AND o.status <> 'locked') AS paid, count(o.order_id) AS orders
      FROM teams t LEFT JOIN orders o USING (team_id) GROUP BY t.team_id
  ), used AS (
    SELECT campaign_id, source, user_id, count(*) AS seats, max(take_limit) AS take_limit
      FROM orders WHERE live GROUP BY campaign_id, source, user_id
  ), completions AS (
    SELECT team_id, count(*) AS times, max(jsonb_array_length(data -> 'out_trade_nos')) AS members
      FROM events WHERE type = 'team.completed' GROUP BY team_id
  ), departures AS (
    SELECT o.team_id, count(*) AS members
      FROM refunds r JOIN orders o USING (order_id) WHERE r.kind = 'paid_formed' AND r.released_at IS NOT NULL GROUP BY o.team_id
  )
  SELECT 1, 'team ' || team_id, format('%s complete, %s locked, of %s', complete_count, lock_count, target_count)
    FROM teams WHERE NOT (0 <= complete_count AND complete_count <= lock_count AND lock_count <= target_count)
  UNION ALL
  SELECT 2, 'team ' || team_id, format('counts %s/%s, rows %s/%s', complete_count, lock_count, paid, seats)
    FROM live WHERE lock_count <> seats OR complete_count <> paid
  UNION ALL
  SELECT 3, 'team ' || t.team_id,
         format('%s by %s with %s members, completed %s times', t.status, t.completion, completions.members,
                coalesce(completions.times, 0))
    FROM teams t LEFT JOIN completions USING (team_id)
   WHERE (t.completed_at IS NOT NULL) <> (coalesce(completions.times, 0) = 1)
      OR coalesce(completions.times, 0) > 1
      OR completions.members < CASE t.completion WHEN 'target' THEN t.target_count WHEN 'min_count' THEN t.min_count ELSE 1 END
  UNION ALL
  SELECT 3, 'team ' || t.team_id,
         format('%s with %s of %s members, %s refunded', t.status, t.complete_count, completions.members,
                coalesce(departures.members, 0))
    FROM teams t JOIN completions USING (team_id) LEFT JOIN departures USING (team_id)
   WHERE t.complete_count + coalesce(departures.members, 0) <> completions.members
      OR t.status <> CASE WHEN t.complete_count = 0 THEN 'failed' WHEN departures.members > 0 THEN 'completed_with_refunds'
                          ELSE 'completed' END
  UNION ALL
  SELECT 4, 'team ' || team_id, 'has no order' FROM live WHERE orders = 0
  UNION ALL
  SELECT 5, format('user %s of %s in campaign %s', user_id, source, campaign_id),
         format('%s live orders, limit %s, counted %s', coalesce(used.seats, 0), take_limit, coalesce(q.live, 0))
    FROM used FULL JOIN user_quotas q USING (campaign_id, source, user_id)
   WHERE coalesce(used.seats, 0) <> coalesce(q.live, 0) OR used.seats > used.take_limit
  UNION ALL
  SELECT 5, 'stock of campaign ' || s.campaign_id, format('%s live orders, stock %s, counted %s', count(o.order_id), s.stock, s.live)
    FROM campaign_stock s LEFT JOIN orders o ON o.campaign_id = s.campaign_id AND o.live
   GROUP BY s.campaign_id, s.stock, s.live HAVING count(o.order_id) <> s.live OR s.live > s.stock
  UNION ALL
  SELECT 6, 'order ' || order_id, format('paid %s with outcome %s, but %s', paid_amount, payment_outcome, status)
    FROM orders WHERE paid_amount IS NOT NULL AND status IN ('locked', 'cancelled')
  UNION ALL
  SELECT 6, 'order ' || o.order_id, format('%s, but its refund %s is %s', o.status, r.attempt, r.status)
    FROM orders o LEFT JOIN LATERAL (SELECT * FROM refunds WHERE order_id = o.order_id ORDER BY attempt DESC LIMIT 1) r ON true
   WHERE (o.status = 'refunding') <> coalesce(r.finished_at IS NULL AND r.attempt IS NOT NULL, false)
      OR (o.status = 'refunded') <> coalesce(r.status = 'done' AND r.kind <> 'unpaid', false)
      OR o.status = 'refunding' AND o.live <> (r.released_at IS NULL)
      OR o.status IN ('refunding', 'refunded') AND r.amount <> o.paid_amount
  UNION ALL
  SELECT 6, 'order ' || r.order_id, 
         format('refund %s is released, with %s order.refunded event(s) instead of 1', r.attempt, count(e.event_id))
    FROM refunds r LEFT JOIN events e ON e.order_id = r.order_id AND e.type = 'order.refunded'
                                     AND e.data ->> 'kind' = r.kind AND e.occurred_at = r.released_at
   WHERE r.kind <> 'unpaid' AND r.released_at IS NOT NULL GROUP BY r.order_id, r.attempt HAVING count(e.event_id) <> 1
  UNION ALL
  SELECT 6, 'order ' || r.order_id, 'refunded, but order.refunded is ' || d.status
    FROM refunds r JOIN events e ON e.order_id = r.order_id AND e.type = 'order.refunded' AND e.data ->> 'kind' = r.kind
                                AND e.occurred_at = r.released_at
    JOIN deliveries d USING (event_id)
   WHERE r.status = 'done' AND r.operator IS NULL AND d.status <> 'delivered'
     -- A redelivery makes an event pending again that was delivered before.
     AND NOT EXISTS (SELECT FROM delivery_attempts a WHERE a.event_id = d.event_id AND a.address = d.address AND a.error IS NULL)
  UNION ALL
  SELECT 8, 'order ' || o.order_id, 'cancelled, but without order.cancelled event'
    FROM orders o WHERE o.status = 'cancelled'
     AND NOT EXISTS (SELECT FROM events e WHERE e.order_id = o.order_id AND e.type = 'order.cancelled')
  UNION ALL
  SELECT 8, 'event ' || d.event_id, 'delivered, but no attempt succeeded'
    FROM deliveries d WHERE d.status = 'delivered' AND NOT EXISTS (
      SELECT FROM delivery_attempts a WHERE a.event_id = d.event_id AND a.address = d.address AND a.error IS NULL)
$$
