CREATE OR REPLACE FUNCTION groupbuy_invariants(
  moment timestamptz DEFAULT now(), under_way interval DEFAULT '1 hour', retries interval DEFAULT '4 days'
) RETURNS TABLE (invariant integer, subject text, detail text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  slice text[];
  last_team text := '';
BEGIN
  -- Everything, in one snapshot. In slices: the rows of too many teams at once are joined slowly.
  RETURN QUERY SELECT * FROM groupbuy_campaign_violations();
  RETURN QUERY SELECT * FROM groupbuy_settlement_violations('-infinity', 'infinity', under_way);
  LOOP
    SELECT array_agg(t.team_id), max(t.team_id) INTO slice, last_team
      FROM (SELECT teams.team_id FROM teams WHERE teams.team_id > last_team ORDER BY teams.team_id LIMIT 500) t;
    EXIT WHEN slice IS NULL;
    RETURN QUERY SELECT v.invariant, v.subject, v.detail FROM groupbuy_team_violations(slice, moment, under_way, retries) v;
  END LOOP;
END
$$
