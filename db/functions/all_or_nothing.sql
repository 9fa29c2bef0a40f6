CREATE OR REPLACE FUNCTION groupbuy_all_or_nothing(team bigint, taken_order bigint, quota bigint, stock boolean) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  -- Called at the end of the statement that takes a seat. If one of its steps changed no row, the exception undoes the others, and
  -- its detail names the step.
  IF team = 0 OR taken_order = 0 OR quota = 0 OR NOT stock THEN
    RAISE EXCEPTION USING ERRCODE = 'GB001', MESSAGE = 'seat refused (expected, not an error)', DETAIL =
      CASE WHEN team = 0 THEN 'team' WHEN taken_order = 0 THEN 'order' WHEN quota = 0 THEN 'quota' ELSE 'stock' END;
  END IF;
END
$$
