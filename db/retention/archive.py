"""Archives teams: each as one row that nothing reads but people, with all that its rows said, in the types of JSON."""

# A column that a later version adds is in the records of that version. Users stand apart, so that an id can be erased.
ARCHIVE = """
INSERT INTO archived_teams (team_id, source, opened_at, user_ids, record)
SELECT t.team_id, t.source, t.opened_at, o.user_ids,
       jsonb_build_object('team', to_jsonb(t), 'orders', o.orders, 'refunds', r.refunds, 'payment_conflicts', c.conflicts,
                          'unearned_discounts', u.bookings, 'events', e.events)
  FROM teams t
 CROSS JOIN LATERAL (
   SELECT array_agg(order_id) AS ids, array_agg(user_id ORDER BY order_id) AS user_ids,
          jsonb_agg(to_jsonb(orders) - 'user_id' ORDER BY order_id) AS orders
     FROM orders WHERE orders.team_id = t.team_id) o
 CROSS JOIN LATERAL (
   SELECT coalesce(jsonb_agg(to_jsonb(refunds) ORDER BY order_id, attempt), '[]') AS refunds
     FROM refunds WHERE order_id = ANY(o.ids)) r
 CROSS JOIN LATERAL (
   SELECT coalesce(jsonb_agg(to_jsonb(payment_conflicts)), '[]') AS conflicts
     FROM payment_conflicts WHERE order_id = ANY(o.ids)) c
 CROSS JOIN LATERAL (
   SELECT coalesce(jsonb_agg(to_jsonb(unearned_discounts) ORDER BY booking), '[]') AS bookings
     FROM unearned_discounts WHERE unearned_discounts.team_id = t.team_id) u
 CROSS JOIN LATERAL (
   SELECT coalesce(jsonb_agg(to_jsonb(events) || jsonb_build_object('deliveries', d.deliveries) ORDER BY event_no), '[]')
          AS events
     FROM events CROSS JOIN LATERAL (
       SELECT coalesce(jsonb_agg(to_jsonb(deliveries)), '[]') AS deliveries
         FROM deliveries WHERE deliveries.event_id = events.event_id) d
    WHERE events.team_id = t.team_id) e
 WHERE t.team_id = ANY($1::text[])
"""
RENAME_USER = """
UPDATE archived_teams SET user_ids = array_replace(user_ids, $2, $3) WHERE source = $1 AND user_ids @> ARRAY[$2::text]
"""
