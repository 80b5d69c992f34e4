SELECT sum(r)::bigint, sum(n)::bigint, sum(p) FROM (
  SELECT rank() OVER w AS r, ntile(10) OVER w AS n, percent_rank() OVER w AS p FROM events
  WINDOW w AS (PARTITION BY kind ORDER BY amount, ts)) t;
