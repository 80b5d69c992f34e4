SELECT count(*), sum(v1), sum(v2) FROM (SELECT j.*, s.id4 AS small_id4, v2 FROM j JOIN small s USING (id1)) t;
