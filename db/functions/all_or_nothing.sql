CREATE OR REPLACE FUNCTION groupbuy_all_or_nothing(team bigint, taken_order bigint, quota bigint, stock boolean) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  -- Called at the end of the one statement that takes a seat: where a step took nothing, the steps before it are undone with the
  -- whole statement. The detail names that step. An expected refusal, not a fault: so it says in the server's log, too.
  IF team = 0 OR taken_order = 0 OR quota = 0 OR NOT stock THEN
    RAISE EXCEPTION USING ERRCODE = 'GB001', MESSAGE = 'a seat was refused, as the rules want it', DETAIL =
      CASE WHEN team = 0 THEN 'team' WHEN taken_order = 0 THEN 'order' WHEN quota = 0 THEN 'quota' ELSE 'stock' END;
  END IF;
END
$$
