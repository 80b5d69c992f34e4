SELECT kind, count(*), sum(amount) FROM (
  SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY ts DESC) AS rn FROM events) t
WHERE rn <= 3 GROUP BY kind ORDER BY kind;
