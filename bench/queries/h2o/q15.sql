SELECT count(*), sum(v1), sum(v2) FROM (SELECT j.*, b.id1 AS big_id1, b.id2 AS big_id2, b.id6 AS big_id6, v2 FROM j JOIN big b USING (id3)) t;
