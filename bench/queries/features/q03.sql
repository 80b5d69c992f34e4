SELECT count(*), sum(a), max(a) FROM (SELECT avg(amount) OVER (PARTITION BY user_id ORDER BY ts ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS a FROM events) t;
