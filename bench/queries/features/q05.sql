SELECT count(*), sum(n)::bigint, sum(s) FROM (
  SELECT count(*) OVER w AS n, sum(amount) OVER w AS s FROM events
  WINDOW w AS (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW)) t;
