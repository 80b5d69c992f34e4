SELECT count(*), sum(share) FROM (SELECT amount / sum(amount) OVER (PARTITION BY user_id) AS share FROM events) t;
