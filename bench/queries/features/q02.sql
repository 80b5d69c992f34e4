SELECT count(d), sum(d) FROM (SELECT amount - lag(amount) OVER (PARTITION BY user_id ORDER BY ts) AS d FROM events) t;
