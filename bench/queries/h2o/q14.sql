SELECT count(*), sum(v1), sum(v2) FROM (SELECT j.*, m.id1 AS medium_id1, m.id2 AS medium_id2, m.id4 AS medium_id4, v2 FROM j JOIN medium m USING (id5)) t;
