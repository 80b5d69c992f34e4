SELECT count(*), sum(hi - lo), sum(f) FROM (
  SELECT max(amount) OVER w AS hi, min(amount) OVER w AS lo, first_value(amount) OVER w AS f FROM events
  WINDOW w AS (PARTITION BY user_id ORDER BY ts ROWS BETWEEN 29 PRECEDING AND CURRENT ROW)) t;
