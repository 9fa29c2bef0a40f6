CREATE OR REPLACE FUNCTION groupbuy_team_violations(team_ids text[], moment timestamptz, under_way interval, retries interval)
RETURNS TABLE (team_id text, invariant integer, subject text, detail text)
LANGUAGE sql STABLE AS $$
  -- Returns the violations of the invariants in docs/rules.md, by their numbers there, in the rows of these teams; no row if all
  -- of them hold. What follows a commit in time may be under way for `under_way`, and a delivery is retried for `retries`.
  -- OFFSET 0 makes the planner look up each team's rows by their keys: otherwise it might scan whole tables for a few teams.
  WITH t AS MATERIALIZED (
    SELECT t.* FROM unnest(team_ids) AS k (team_id)
     CROSS JOIN LATERAL (SELECT * FROM teams WHERE teams.team_id = k.team_id OFFSET 0) t
  ), w AS MATERIALIZED (
    SELECT w.* FROM t CROSS JOIN LATERAL (SELECT * FROM team_wakeups WHERE team_wakeups.team_id = t.team_id OFFSET 0) w
  ), o AS MATERIALIZED (
    SELECT o.* FROM t CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.team_id = t.team_id OFFSET 0) o
  ), r AS MATERIALIZED (
    SELECT o.team_id, r.* FROM o CROSS JOIN LATERAL (SELECT * FROM refunds WHERE refunds.order_id = o.order_id OFFSET 0) r
  ), latest AS MATERIALIZED (
    SELECT DISTINCT ON (order_id) * FROM r ORDER BY order_id, attempt DESC
  ), e AS MATERIALIZED (
    SELECT e.* FROM t CROSS JOIN LATERAL (SELECT * FROM events WHERE events.team_id = t.team_id OFFSET 0) e
  ), d AS MATERIALIZED (
    SELECT e.team_id, e.order_id, e.type, d.*
      FROM e CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE deliveries.event_id = e.event_id OFFSET 0) d
  ), succeeded AS MATERIALIZED (
    SELECT a.event_id, a.kind, a.address, a.format FROM (SELECT DISTINCT event_id FROM d) d
     CROSS JOIN LATERAL (SELECT * FROM delivery_attempts a WHERE a.event_id = d.event_id AND a.error IS NULL OFFSET 0) a
     GROUP BY a.event_id, a.kind, a.address, a.format
  ), seats AS (
    SELECT t.team_id, count(o.order_id) FILTER (WHERE o.live) AS live, count(o.order_id) AS orders,
           count(o.order_id) FILTER (WHERE o.live AND o.status <> 'locked') AS paid
      FROM t LEFT JOIN o USING (team_id) GROUP BY t.team_id
  ), decisions AS (
    SELECT t.team_id, count(e.event_id) FILTER (WHERE e.type = 'team.completed') AS completed,
           count(e.event_id) FILTER (WHERE e.type = 'team.failed') AS failed,
           max(jsonb_array_length(e.data -> 'out_trade_nos')) FILTER (WHERE e.type = 'team.completed') AS members
      FROM t LEFT JOIN e ON e.team_id = t.team_id AND e.order_id IS NULL GROUP BY t.team_id
  ), departures AS (
    SELECT team_id, count(*) AS members FROM r WHERE kind = 'paid_formed' AND released_at IS NOT NULL GROUP BY team_id
  ), booked AS (
    SELECT t.team_id, coalesce(sum(u.merchant), 0) AS merchant, coalesce(sum(u.platform), 0) AS platform
      FROM t CROSS JOIN LATERAL (SELECT * FROM unearned_discounts u WHERE u.team_id = t.team_id OFFSET 0) u GROUP BY t.team_id
  ), unearned AS (
    -- Twin of domain.settlements: members_needed and unearned_discount.
    SELECT t.team_id, coalesce(sum(o.merchant_deduction), 0) AS merchant,
           coalesce(sum(o.deduction - o.merchant_deduction), 0) AS platform
      FROM t JOIN departures d USING (team_id) JOIN o ON o.team_id = t.team_id AND o.live
     WHERE t.completed_at IS NOT NULL
       AND t.complete_count < least(coalesce(t.min_count, t.target_count), t.complete_count + d.members)
     GROUP BY t.team_id
  ), users AS (
    SELECT u.*, used.seats + coalesce(q.removed, 0) AS seats, used.take_limit, coalesce(q.live, 0) AS counted
      FROM (SELECT campaign_id, source, user_id, min(team_id) AS team_id FROM o GROUP BY campaign_id, source, user_id) u
     CROSS JOIN LATERAL (
       SELECT count(*) AS seats, max(take_limit) AS take_limit
         FROM (SELECT * FROM orders WHERE orders.user_id = u.user_id AND orders.source = u.source OFFSET 0) mine
        WHERE mine.campaign_id = u.campaign_id AND mine.live) used
      LEFT JOIN LATERAL (
       SELECT live, removed FROM user_quotas q
        WHERE q.campaign_id = u.campaign_id AND q.source = u.source AND q.user_id = u.user_id OFFSET 0) q ON true
  ), expected AS (
    SELECT e.team_id, e.event_id, a.kind, a.address, o.callback_format AS format
      FROM e JOIN o ON o.order_id = e.order_id
     CROSS JOIN LATERAL groupbuy_callback_addresses(e.type, o.callback_kind, o.callback_address, o.callback_format) a
    UNION
    SELECT e.team_id, e.event_id, a.kind, a.address, o.callback_format
      FROM e CROSS JOIN LATERAL jsonb_array_elements_text(e.data -> 'out_trade_nos') AS named (out_trade_no)
      JOIN o ON o.team_id = e.team_id AND o.out_trade_no = named.out_trade_no
     CROSS JOIN LATERAL groupbuy_callback_addresses(e.type, o.callback_kind, o.callback_address, o.callback_format) a
     WHERE e.order_id IS NULL
  ), facts AS (
    -- The events that must have been written in the transactions that made the rows what they are.
    SELECT team_id, order_id, 'order.cancelled' AS type, cancelled_at AS since FROM o WHERE cancelled_at IS NOT NULL
    UNION ALL
    SELECT team_id, order_id, 'order.reseated', payment_reported_at FROM o WHERE payment_outcome = 'reseated'
    UNION ALL
    SELECT team_id, order_id, 'order.refund_requested', requested_at FROM r WHERE question IS NOT NULL
  ), open_refunds AS (
    -- The event that an unfinished refund waits for, and since when nothing is under way: null while a delivery is pending.
    SELECT r.team_id, r.order_id, r.attempt, r.status,
           CASE WHEN r.status = 'requested' OR NOT coalesce(bool_or(d.status = 'pending'), false)
                THEN greatest(r.requested_at, r.released_at, max(d.finished_at)) END AS idle_since
      FROM r LEFT JOIN e ON e.order_id = r.order_id
                        AND CASE WHEN r.released_at IS NULL THEN e.event_id = r.question
                                 ELSE e.type = 'order.refunded' AND e.occurred_at = r.released_at END
      LEFT JOIN d ON d.event_id = e.event_id
     WHERE r.finished_at IS NULL AND r.status <> 'attention'
     GROUP BY r.team_id, r.order_id, r.attempt, r.status, r.requested_at, r.released_at
  )
  SELECT team_id, 1, 'team ' || team_id, format('%s complete, %s locked, of %s', complete_count, lock_count, target_count)
    FROM t WHERE NOT (0 <= complete_count AND complete_count <= lock_count AND lock_count <= target_count)
  UNION ALL
  SELECT t.team_id, 2, 'team ' || t.team_id,
         format('counts %s/%s, rows %s/%s', t.complete_count, t.lock_count, seats.paid, seats.live)
    FROM t JOIN seats USING (team_id) WHERE t.lock_count <> seats.live OR t.complete_count <> seats.paid
  UNION ALL
  SELECT t.team_id, 3, 'team ' || t.team_id,
         format('%s by %s with %s members, completed %s times', t.status, t.completion, decisions.members, decisions.completed)
    FROM t JOIN decisions USING (team_id)
   WHERE decisions.completed <> (t.completed_at IS NOT NULL)::int
      OR decisions.members < CASE t.completion WHEN 'target' THEN t.target_count WHEN 'min_count' THEN t.min_count ELSE 1 END
  UNION ALL
  SELECT t.team_id, 3, 'team ' || t.team_id,
         format('%s with %s of %s members, %s refunded', t.status, t.complete_count, decisions.members,
                coalesce(departures.members, 0))
    FROM t JOIN decisions USING (team_id) LEFT JOIN departures USING (team_id)
   WHERE decisions.completed > 0
     AND (t.complete_count + coalesce(departures.members, 0) <> decisions.members
          OR t.status <> CASE WHEN t.complete_count = 0 THEN 'failed' WHEN departures.members > 0 THEN 'completed_with_refunds'
                              ELSE 'completed' END)
  UNION ALL
  SELECT t.team_id, 3, 'team ' || t.team_id,
         format('%s (%s), with %s team.failed event(s)', t.status, t.fail_reason, decisions.failed)
    FROM t JOIN decisions USING (team_id)
   WHERE decisions.failed <> (t.status = 'failed' AND coalesce(t.fail_reason, '') <> 'abandoned')::int
  UNION ALL
  SELECT team_id, 4, 'team ' || team_id, 'has no order' FROM seats WHERE orders = 0
  UNION ALL
  SELECT t.team_id, 4, 'order ' || o.order_id,
         format('of %s in campaign %s, in a team of %s in campaign %s', o.source, o.campaign_id, t.source, t.campaign_id)
    FROM t JOIN o USING (team_id) WHERE (o.source, o.campaign_id) <> (t.source, t.campaign_id)
  UNION ALL
  SELECT team_id, 5, format('user %s of %s in campaign %s', user_id, source, campaign_id),
         format('%s live orders, limit %s, counted %s', seats, take_limit, counted)
    FROM users WHERE seats <> counted OR seats > take_limit
  UNION ALL
  SELECT team_id, 6, 'order ' || order_id, format('paid %s with outcome %s, but %s', paid_amount, payment_outcome, status)
    FROM o WHERE paid_amount IS NOT NULL AND status IN ('locked', 'cancelled')
  UNION ALL
  SELECT o.team_id, 6, 'order ' || o.order_id, format('%s, but its refund %s is %s', o.status, r.attempt, r.status)
    FROM o LEFT JOIN latest r USING (order_id)
   WHERE (o.status = 'refunding') <> coalesce(r.finished_at IS NULL AND r.attempt IS NOT NULL, false)
      OR (o.status = 'refunded') <> coalesce(r.status = 'done' AND r.kind <> 'unpaid', false)
      OR o.status = 'refunding' AND o.live <> (r.released_at IS NULL)
      OR o.status IN ('refunding', 'refunded') AND r.amount <> o.paid_amount
  UNION ALL
  SELECT o.team_id, 6, 'order ' || o.order_id, format('paid, but its team failed at %s, and it has no refund', t.failed_at)
    FROM t JOIN o USING (team_id) WHERE t.status = 'failed' AND o.status = 'paid' AND t.failed_at < moment - under_way
  UNION ALL
  SELECT team_id, 6, 'order ' || order_id, format('refund %s is %s, and nothing is under way since %s', attempt, status, idle_since)
    FROM open_refunds WHERE idle_since < moment - under_way
  UNION ALL
  SELECT r.team_id, 6, 'order ' || r.order_id,
         format('refund %s is released, with %s order.refunded event(s) instead of 1', r.attempt, count(e.event_id))
    FROM r LEFT JOIN e ON e.order_id = r.order_id AND e.type = 'order.refunded' AND e.data ->> 'kind' = r.kind
                      AND e.occurred_at = r.released_at
   WHERE r.kind <> 'unpaid' AND r.released_at IS NOT NULL GROUP BY r.team_id, r.order_id, r.attempt HAVING count(e.event_id) <> 1
  UNION ALL
  SELECT r.team_id, 6, 'order ' || r.order_id, 'refunded, but order.refunded is ' || d.status
    FROM r JOIN e ON e.order_id = r.order_id AND e.type = 'order.refunded' AND e.data ->> 'kind' = r.kind
                 AND e.occurred_at = r.released_at
    JOIN d ON d.event_id = e.event_id
    -- A redelivery makes an event pending again that was delivered before.
    LEFT JOIN succeeded s ON (s.event_id, s.kind, s.address, s.format) = (d.event_id, d.kind, d.address, d.format)
   WHERE r.status = 'done' AND r.operator IS NULL AND d.status <> 'delivered' AND s.event_id IS NULL
  UNION ALL
  SELECT t.team_id, 7, 'team ' || t.team_id, 'changed directly, and neither taken over by its workflow nor about to be'
    FROM t LEFT JOIN w USING (team_id) WHERE t.admitted = 'direct' AND t.taken_over_at IS NULL AND w.team_id IS NULL
  UNION ALL
  SELECT team_id, 7, 'team ' || team_id, format('changed at %s, and not taken over by its workflow after %s attempts', since, attempts)
    FROM w WHERE since < moment - under_way
  UNION ALL
  SELECT facts.team_id, 8, 'order ' || facts.order_id, format('has no %s event for what happened at %s', facts.type, facts.since)
    FROM facts LEFT JOIN e ON e.order_id = facts.order_id AND e.type = facts.type
                          AND (facts.type <> 'order.refund_requested' OR e.occurred_at = facts.since)
   WHERE e.event_id IS NULL
  UNION ALL
  SELECT x.team_id, 8, 'event ' || x.event_id, format('has no delivery to %s', x.address)
    FROM expected x LEFT JOIN d ON (d.event_id, d.kind, d.address, d.format) = (x.event_id, x.kind, x.address, x.format)
   WHERE d.event_id IS NULL
  UNION ALL
  SELECT d.team_id, 8, 'event ' || d.event_id, 'delivered, but no attempt succeeded'
    FROM d LEFT JOIN succeeded s ON (s.event_id, s.kind, s.address, s.format) = (d.event_id, d.kind, d.address, d.format)
   WHERE d.status = 'delivered' AND s.event_id IS NULL
  UNION ALL
  SELECT team_id, 8, 'event ' || event_id, format('pending since %s, and neither delivered nor given up', since)
    FROM d WHERE status = 'pending' AND since < moment - retries
  UNION ALL
  SELECT d.team_id, 8, 'event ' || d.event_id, format('still asks for an answer, which is %s', r.answer)
    FROM d JOIN r ON r.question = d.event_id WHERE d.status = 'pending' AND r.answer IS NOT NULL
  UNION ALL
  SELECT t.team_id, 9, 'order ' || o.order_id,
         format('%s of %s are the mall''s, at a share of %s %%', o.merchant_deduction, o.deduction, t.merchant_share)
    FROM t JOIN o USING (team_id) WHERE o.merchant_deduction <> round(o.deduction * t.merchant_share / 100, 2)
  UNION ALL
  SELECT t.team_id, 9, 'team ' || t.team_id,
         format('booked %s and %s as unearned, instead of %s and %s', coalesce(booked.merchant, 0), coalesce(booked.platform, 0),
                coalesce(unearned.merchant, 0), coalesce(unearned.platform, 0))
    FROM t LEFT JOIN booked USING (team_id) LEFT JOIN unearned USING (team_id)
   WHERE t.unearned_booked_at IS NOT NULL
     AND (coalesce(booked.merchant, 0), coalesce(booked.platform, 0))
      <> (coalesce(unearned.merchant, 0), coalesce(unearned.platform, 0))
  UNION ALL
  SELECT t.team_id, 9, 'team ' || t.team_id, 'members left, and what it did not earn is not booked'
    FROM t JOIN departures USING (team_id)
   WHERE t.unearned_booked_at IS NULL
     AND t.completed_at + t.refund_window * interval '1 second' < moment - under_way
     AND NOT EXISTS (SELECT FROM r WHERE r.team_id = t.team_id AND r.kind = 'paid_formed' AND r.released_at >= moment - under_way)
$$
