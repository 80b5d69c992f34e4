SELECT count(*), sum(rn)::bigint, sum(d), sum(a) FROM (
  SELECT row_number() OVER w AS rn, amount - lag(amount) OVER w AS d,
         avg(amount) OVER (PARTITION BY user_id ORDER BY ts ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS a
  FROM events WINDOW w AS (PARTITION BY user_id ORDER BY ts)) t;
