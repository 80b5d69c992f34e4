SELECT max(session), sum(session)::bigint FROM (
  SELECT sum(fresh) OVER (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS session FROM (
    SELECT user_id, ts, CASE WHEN ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts) < INTERVAL '1 day' THEN 0 ELSE 1 END AS fresh FROM events) t) t;
