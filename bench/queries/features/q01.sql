SELECT count(*), sum(rn)::bigint, max(rn) FROM (SELECT row_number() OVER (PARTITION BY user_id ORDER BY ts) AS rn FROM events) t;
