CREATE OR REPLACE FUNCTION groupbuy_assign_sequences(mall text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  -- One at a time per mall. The UPDATE's snapshot is taken after the wait for the lock, so it sees every number assigned before;
  -- events that are not committed yet get higher numbers later.
  PERFORM pg_advisory_xact_lock(7242003, hashtext(mall));
  UPDATE events e SET sequence = numbered.sequence
    FROM (SELECT event_no,
                 greatest((SELECT max(sequence) FROM events WHERE source = mall),
                          (SELECT sequence_from FROM malls WHERE source = mall), 0) + row_number() OVER (ORDER BY event_no)
                 AS sequence
            FROM events WHERE source = mall AND sequence IS NULL) numbered
   WHERE e.event_no = numbered.event_no;
END
$$
