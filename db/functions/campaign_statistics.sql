-- What the market says of campaigns (one source each), in their order. Refunds do not lower the counts, nor does retention. Every
-- user who ever had a seat has a quota row.
-- Where one campaign has most teams, the plan for any campaign would read the whole table, for one of ten teams, too.
CREATE OR REPLACE FUNCTION groupbuy_campaign_statistics(campaigns int[], sources text[])
RETURNS TABLE (team_count bigint, completed_team_count bigint, user_count bigint)
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY
  SELECT counted.teams + coalesce(removed.teams, 0), counted.completed + coalesce(removed.completed, 0),
         (SELECT count(*) FROM user_quotas q WHERE q.campaign_id = a.campaign_id AND q.source = a.source)
    FROM unnest(campaigns, sources) WITH ORDINALITY AS a (campaign_id, source, position)
   CROSS JOIN LATERAL (SELECT count(*) AS teams, count(completed_at) AS completed FROM teams t
                        WHERE t.campaign_id = a.campaign_id AND t.source = a.source) AS counted
    LEFT JOIN removed_teams removed ON removed.campaign_id = a.campaign_id AND removed.source = a.source
   ORDER BY a.position;
END
$$
