package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// peerDataVersion changes whenever the generated files of a suite do.
const peerDataVersion = 1

// suiteNames are the suites of queries/.
var suiteNames = []string{"tpch", "tpcds", "clickbench", "h2o", "features"}

// suiteData returns the directory of the Parquet files of a suite, which it
// makes when the cache lacks them. The scale is TPC's scale factor, or millions
// of rows of the suites that are generated here.
func suiteData(ctx context.Context, root, suite string, scale float64, duck *duckDB, say func(string, ...any)) (string, error) {
	dir := filepath.Join(root, fmt.Sprintf("%s-%g-v%d", suite, scale, peerDataVersion))
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	say("generating %s, scale %g, in %s\n", suite, scale, dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	var err error
	switch suite {
	case "tpch", "tpcds":
		err = tpcData(ctx, dir, suite, scale, duck)
	case "clickbench":
		err = copyTo(ctx, duck, hitsQuery(int64(scale*1e6)), dir, "hits")
	case "h2o":
		err = h2oData(ctx, dir, int64(scale*1e6), duck)
	case "features":
		err = copyTo(ctx, duck, eventsQuery(int64(scale*1e6)), dir, "events")
	}
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(done, nil, 0o644)
}

func copyTo(ctx context.Context, duck *duckDB, query, dir, table string) error {
	_, err := duck.rows(ctx, fmt.Sprintf("COPY (%s) TO %s (FORMAT parquet)", query, quote(filepath.Join(dir, table+".parquet"))))
	return err
}

// tpcData lets DuckDB's extension generate in a database of its own, which
// holds the tables until they are copied to files.
func tpcData(ctx context.Context, dir, suite string, scale float64, duck *duckDB) error {
	for _, s := range []string{"INSTALL " + suite, "LOAD " + suite} {
		if _, err := duck.rows(ctx, s); err != nil {
			return fmt.Errorf("%w\nDuckDB cannot load its extension %s; make the files with tpcdata.py:\n  python tpcdata.py %s %g %s", err, suite, suite, scale, dir)
		}
	}
	gen := map[string]string{"tpch": "dbgen", "tpcds": "dsdgen"}[suite]
	for _, s := range []string{
		"ATTACH " + quote(filepath.Join(dir, "gen.duckdb")) + " AS gen", "USE gen", fmt.Sprintf("CALL %s(sf = %g)", gen, scale),
	} {
		if _, err := duck.rows(ctx, s); err != nil {
			return err
		}
	}
	tables, err := duck.rows(ctx, "SELECT table_name FROM duckdb_tables() WHERE database_name = 'gen' ORDER BY 1")
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := copyTo(ctx, duck, "FROM "+t[0], dir, t[0]); err != nil {
			return err
		}
	}
	for _, s := range []string{"USE memory", "DETACH gen"} {
		if _, err := duck.rows(ctx, s); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(dir, "gen.duckdb"))
}

// uniform is a number in [0, 1) that depends on the row and the salt.
func uniform(salt int) string {
	return fmt.Sprintf("((hash(i, %d) %% 1000000007) / 1000000007.0::double)", salt)
}

// skewed is an integer in [0, n) of which the small ones are the frequent ones.
func skewed(salt int, n int64, power int) string {
	return fmt.Sprintf("floor(%d * pow(%s, %d))::bigint", n, uniform(salt), power)
}

// rare is e for a share of the rows and else another value.
func rare(salt int, share float64, e, other string) string {
	return fmt.Sprintf("CASE WHEN %s < %g THEN %s ELSE %s END", uniform(salt), share, e, other)
}

// hitsQuery makes a web log of ClickBench's 105 columns. Shares and numbers of
// distinct values follow what is published about the real one: most texts are
// empty, users and pages are skewed, one counter (62) has much of July 2013.
func hitsQuery(rows int64) string {
	users, urls := max(rows/6, 10), max(rows/5, 10)
	url := func(salt int) string {
		return "'http://' || " + rare(salt+2, 0.02, "'www.google'", "'site'") + " || (" + skewed(salt, 2000, 3) + ") || '.ru/page/' || " + skewed(salt+1, urls, 3)
	}
	type col struct{ name, typ, expr string }
	small := func(name string, salt int, n int64) col { return col{name, "smallint", skewed(salt, n, 4)} }
	zero := func(name, typ string) col { return col{name, typ, "0"} }
	empty := func(name string) col { return col{name, "varchar", "''"} }
	cols := []col{
		{"WatchID", "bigint", "(hash(i, 0) >> 1)::bigint"}, small("JavaEnable", 1, 2),
		{"Title", "varchar", rare(2, 0.8, "'Title '  || "+rare(3, 0.01, "'Google '", "''")+" || "+skewed(4, urls, 3), "''")},
		{"GoodEvent", "smallint", "1"},
		{"EventTime", "timestamp", "TIMESTAMP '2013-07-01' + to_seconds((" + uniform(5) + " * 2678399)::bigint)"},
		{"EventDate", "date", "(TIMESTAMP '2013-07-01' + to_seconds((" + uniform(5) + " * 2678399)::bigint))::date"},
		{"CounterID", "integer", "62 + " + skewed(6, 6000, 6)},
		{"ClientIP", "integer", "(" + skewed(7, users, 2) + " * 48271 % 2147483647)"},
		{"RegionID", "integer", skewed(8, 5000, 4)},
		// A user that the twentieth query looks for, and others.
		{"UserID", "bigint", rare(9, 0.000001, "435090932899640449", "("+skewed(10, users, 2)+" * 2654435761 + 1000000007)")},
		zero("CounterClass", "smallint"), small("OS", 11, 100), small("UserAgent", 12, 80),
		{"URL", "varchar", url(13)}, {"Referer", "varchar", rare(16, 0.8, url(17), "''")},
		{"IsRefresh", "smallint", rare(20, 0.1, "1", "0")}, small("RefererCategoryID", 21, 100), {"RefererRegionID", "integer", skewed(22, 3000, 4)},
		small("URLCategoryID", 23, 100), {"URLRegionID", "integer", skewed(24, 3000, 4)},
		{"ResolutionWidth", "smallint", "800 + 80 * " + skewed(25, 30, 1)}, {"ResolutionHeight", "smallint", "600 + 40 * " + skewed(26, 30, 1)},
		small("ResolutionDepth", 27, 33), small("FlashMajor", 28, 12), small("FlashMinor", 29, 10), empty("FlashMinor2"), small("NetMajor", 30, 5), small("NetMinor", 31, 5),
		small("UserAgentMajor", 32, 60), {"UserAgentMinor", "varchar", skewed(33, 90, 2)}, {"CookieEnable", "smallint", "1"}, {"JavascriptEnable", "smallint", "1"},
		{"IsMobile", "smallint", rare(34, 0.06, "1", "0")}, {"MobilePhone", "smallint", rare(34, 0.06, skewed(35, 60, 2), "0")},
		{"MobilePhoneModel", "varchar", rare(34, 0.06, "'Model '||"+skewed(36, 160, 3), "''")},
		empty("Params"), {"IPNetworkID", "integer", skewed(37, 4000000, 2)},
		{"TraficSourceID", "smallint", skewed(38, 10, 2) + " - 1"}, {"SearchEngineID", "smallint", rare(39, 0.13, "1 + "+skewed(40, 90, 5), "0")},
		{"SearchPhrase", "varchar", rare(39, 0.13, "'phrase '||"+skewed(41, max(rows/16, 10), 2), "''")},
		{"AdvEngineID", "smallint", rare(42, 0.006, "1 + "+skewed(43, 25, 3), "0")}, zero("IsArtifical", "smallint"),
		{"WindowClientWidth", "smallint", skewed(44, 2000, 1)}, {"WindowClientHeight", "smallint", skewed(45, 1500, 1)}, small("ClientTimeZone", 46, 12),
		{"ClientEventTime", "timestamp", "TIMESTAMP '2013-07-01' + to_seconds((" + uniform(47) + " * 2678399)::bigint)"},
		small("SilverlightVersion1", 48, 6), small("SilverlightVersion2", 49, 2), {"SilverlightVersion3", "integer", skewed(50, 60000, 6)}, zero("SilverlightVersion4", "smallint"),
		{"PageCharset", "varchar", rare(51, 0.5, "'utf-8'", "'windows'")}, {"CodeVersion", "integer", skewed(52, 1700, 2)}, {"IsLink", "smallint", rare(53, 0.01, "1", "0")},
		{"IsDownload", "smallint", rare(54, 0.002, "1", "0")}, {"IsNotBounce", "smallint", rare(55, 0.8, "1", "0")}, {"FUniqID", "bigint", "(hash(i, 56) >> 1)::bigint"},
		{"OriginalURL", "varchar", rare(57, 0.1, url(58), "''")}, {"HID", "integer", skewed(61, 1<<30, 1)}, zero("IsOldCounter", "smallint"), zero("IsEvent", "smallint"), zero("IsParameter", "smallint"),
		{"DontCountHits", "smallint", rare(62, 0.2, "1", "0")}, zero("WithHash", "smallint"), {"HitColor", "varchar", rare(63, 0.5, "'5'", "'T'")},
		{"LocalEventTime", "timestamp", "TIMESTAMP '2013-07-01' + to_seconds((" + uniform(64) + " * 2678399)::bigint)"},
		small("Age", 65, 60), small("Sex", 66, 3), small("Income", 67, 5), {"Interests", "smallint", skewed(68, 30000, 2)}, small("Robotness", 69, 4),
		{"RemoteIP", "integer", "(" + skewed(70, users, 2) + " * 48271 % 2147483647)"}, {"WindowName", "integer", skewed(71, 10000, 6)}, {"OpenerName", "integer", skewed(72, 10000, 6)},
		small("HistoryLength", 73, 60), {"BrowserLanguage", "varchar", "'ru'"}, {"BrowserCountry", "varchar", "'RU'"}, empty("SocialNetwork"), empty("SocialAction"), zero("HTTPError", "smallint"),
		{"SendTiming", "integer", skewed(74, 10000, 4)}, {"DNSTiming", "integer", skewed(75, 1000, 4)}, {"ConnectTiming", "integer", skewed(76, 1000, 4)},
		{"ResponseStartTiming", "integer", skewed(77, 10000, 4)}, {"ResponseEndTiming", "integer", skewed(78, 10000, 4)}, {"FetchTiming", "integer", skewed(79, 10000, 4)},
		zero("SocialSourceNetworkID", "smallint"), empty("SocialSourcePage"), zero("ParamPrice", "bigint"), empty("ParamOrderID"), empty("ParamCurrency"), zero("ParamCurrencyID", "smallint"),
		empty("OpenstatServiceName"), empty("OpenstatCampaignID"), empty("OpenstatAdID"), empty("OpenstatSourceID"),
		empty("UTMSource"), empty("UTMMedium"), empty("UTMCampaign"), empty("UTMContent"), empty("UTMTerm"), empty("FromTag"), {"HasGCLID", "smallint", rare(80, 0.01, "1", "0")},
		// Two hashes that queries look for.
		{"RefererHash", "bigint", rare(81, 0.01, "3594120000172545465", "(hash(i, 82) >> 1)::bigint")},
		{"URLHash", "bigint", rare(83, 0.01, "2868770270353813622", "(hash(i, 84) >> 1)::bigint")}, zero("CLID", "integer"),
	}
	var list []string
	for _, c := range cols {
		list = append(list, fmt.Sprintf("(%s)::%s AS \"%s\"", c.expr, c.typ, c.name))
	}
	return fmt.Sprintf("SELECT %s FROM range(%d) t(i)", strings.Join(list, ", "), rows)
}

// eventsQuery makes what features are computed from: events of users, about a
// hundred of each over a year, in no order. No two have the same time.
func eventsQuery(rows int64) string {
	users := max(rows/100, 10)
	return fmt.Sprintf(`SELECT 1 + %s AS user_id, TIMESTAMP '2025-01-01' + to_microseconds(i * 31 * 1000003 %% (365 * 86400 * 1000000::bigint)) AS ts,
		'kind-' || %s AS kind, round(100 * %s, 2) AS amount FROM range(%d) t(i)`,
		skewed(1, users, 2), skewed(2, 8, 2), uniform(3), rows)
}

// h2oData makes the tables of the "db-benchmark" of H2O.ai: x with keys of few
// and of many values, and three tables to join with.
func h2oData(ctx context.Context, dir string, rows int64, duck *duckDB) error {
	const few = 100
	many := max(rows/few, 10)
	id := func(salt int, n int64) string { return fmt.Sprintf("(1 + floor(%d * %s))::integer", n, uniform(salt)) }
	text := func(salt int, n int64, digits int) string {
		return fmt.Sprintf("'id' || lpad(%s::varchar, %d, '0')", id(salt, n), digits)
	}
	err := copyTo(ctx, duck, fmt.Sprintf(`SELECT %s AS id1, %s AS id2, %s AS id3, %s AS id4, %s AS id5, %s AS id6,
		%s AS v1, %s AS v2, round(100 * %s, 6) AS v3 FROM range(%d) t(i)`,
		text(1, few, 3), text(2, few, 3), text(3, many, 10), id(4, few), id(5, few), id(6, many), id(7, 5), id(8, 15), uniform(9), rows), dir, "x")
	if err != nil {
		return err
	}
	small, medium := max(rows/1_000_000, 10), max(rows/1000, 100)
	// Nine tenths of the keys of j have a partner.
	err = copyTo(ctx, duck, fmt.Sprintf("SELECT %s AS id1, %s AS id2, %s AS id3, 'id' || %s AS id4, 'id' || %s AS id5, 'id' || %s AS id6, round(100 * %s, 6) AS v1 FROM range(%d) t(i)",
		id(11, small*10/9), id(12, medium*10/9), id(13, rows*10/9), id(11, small*10/9), id(12, medium*10/9), id(13, rows*10/9), uniform(14), rows), dir, "j")
	if err != nil {
		return err
	}
	for _, t := range []struct {
		name, cols string
		n          int64
	}{
		{"small", "(i + 1)::integer AS id1, 'id' || (i + 1) AS id4", small},
		{"medium", fmt.Sprintf("%s AS id1, (i + 1)::integer AS id2, 'id' || %s AS id4, 'id' || (i + 1) AS id5", id(21, small), id(21, small)), medium},
		{"big", fmt.Sprintf("%s AS id1, %s AS id2, (i + 1)::integer AS id3, 'id' || (i + 1) AS id6", id(22, small), id(23, medium)), rows},
	} {
		if err := copyTo(ctx, duck, fmt.Sprintf("SELECT %s, round(100 * %s, 6) AS v2 FROM range(%d) t(i)", t.cols, uniform(24), t.n), dir, t.name); err != nil {
			return err
		}
	}
	return nil
}
