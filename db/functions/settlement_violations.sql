CREATE OR REPLACE FUNCTION groupbuy_settlement_violations(first date, last date, under_way interval)
RETURNS TABLE (invariant integer, subject text, detail text)
LANGUAGE sql STABLE AS $$
  -- Returns the violations of invariant 9 in the settlements of these days: their sums are those of the orders. A day that was
  -- counted before it was over for `under_way` is still to be counted. A row that committed after the count, with a time of
  -- that day, differs until the next one: reconciliation counts the day again before it reports. What retention has removed
  -- cannot be counted again.
  WITH counted AS (
    SELECT day FROM daily_statistics
     WHERE source = '' AND day >= first AND day <= last
       AND counted_at >= (day + 1)::timestamp AT TIME ZONE 'UTC' + under_way
       AND day::timestamp AT TIME ZONE 'UTC' >= (SELECT coalesce(max(before), '-infinity') FROM removed_teams)
  ), orders AS (
    SELECT day, s.*
      FROM counted
     CROSS JOIN LATERAL groupbuy_settlement(day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC') s
  ), report AS (
    SELECT d.* FROM daily_settlements d JOIN counted USING (day)
  )
  SELECT 9, format('settlement of %s on %s', source, day),
         format('%s orders of %s, %s refunds of %s; the orders say %s of %s, and %s of %s', coalesce(report.orders, 0),
                report.sales, coalesce(report.refunded_orders, 0), report.refunds, coalesce(orders.orders, 0), orders.sales,
                coalesce(orders.refunded_orders, 0), orders.refunds)
    FROM report FULL JOIN orders USING (day, source)
   WHERE (report.orders, report.sales, report.merchant_discount, report.platform_discount, report.refunded_orders,
          report.refunds, report.refunded_merchant_discount, report.refunded_platform_discount,
          report.unearned_merchant_discount, report.unearned_platform_discount)
     IS DISTINCT FROM
         (orders.orders, orders.sales, orders.merchant_discount, orders.platform_discount, orders.refunded_orders,
          orders.refunds, orders.refunded_merchant_discount, orders.refunded_platform_discount,
          orders.unearned_merchant_discount, orders.unearned_platform_discount)
$$
