CREATE OR REPLACE FUNCTION groupbuy_fence(order_id text, valid_until timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  -- Two attempts for one order exclude each other until they commit. An attempt whose caller may have given it up, and asked
  -- elsewhere, changes nothing after `valid_until`: what the caller was told there stays true.
  PERFORM pg_advisory_xact_lock(hashtextextended(order_id, 7242003));
  IF valid_until < clock_timestamp() THEN
    RAISE EXCEPTION USING ERRCODE = 'GB002', MESSAGE = 'request is out of date (expected, not an error)';
  END IF;
  -- Retention holds the fences of the orders that it removes. This statement's snapshot is taken after the wait for the lock.
  IF EXISTS (SELECT FROM removed_orders r WHERE r.order_id = groupbuy_fence.order_id) THEN
    RAISE EXCEPTION USING ERRCODE = 'GB003', MESSAGE = 'the order was removed (expected, not an error)';
  END IF;
END
$$
