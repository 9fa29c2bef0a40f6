CREATE OR REPLACE FUNCTION groupbuy_callback_addresses(event_type text, callback_kind text, callback_address text, callback_format text)
RETURNS TABLE (kind text, address text)
LANGUAGE sql IMMUTABLE AS $$
  -- Where an event goes that names an order with this callback. In the legacy format an order's events go to RabbitMQ alone,
  -- because at a notifyUrl any body means "ship": order.refunded always, order.cancelled only to malls that use RabbitMQ anyway,
  -- and nothing else. It knows no team event but team.completed.
  SELECT callback_kind, callback_address
   WHERE callback_kind IS NOT NULL AND (callback_format <> 'original' OR event_type = 'team.completed')
  UNION ALL
  SELECT 'amqp', 'topic.team_refund'
   WHERE callback_kind IS NOT NULL AND callback_format = 'original'
     AND (event_type = 'order.refunded' OR event_type = 'order.cancelled' AND callback_kind = 'amqp')
$$
