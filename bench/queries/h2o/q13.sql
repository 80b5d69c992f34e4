SELECT count(*), count(v2), sum(v1), sum(v2) FROM (SELECT j.*, m.id1 AS medium_id1, m.id4 AS medium_id4, m.id5 AS medium_id5, v2 FROM j LEFT JOIN medium m USING (id2)) t;
