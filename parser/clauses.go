package parser

import (
	"strings"

	"github.com/volleydb/volley/pgerr"
)

// The clauses that are edits in place. In the grammar of Postgres they become what
// no user writes by chance, and the planner knows by these names:
//
//	QUALIFY e                       WINDOW volley_qualify AS (PARTITION BY (e))
//	GROUP BY ALL, ORDER BY ALL      GROUP BY volley_group_by_all(), ORDER BY volley_order_by_all()
//	t.* EXCLUDE (a) REPLACE (e AS b) RENAME (c AS d)
//	                                volley_star(t.*, volley_exclude(a), volley_replace(e, b), volley_rename(c, d))
//	a ASOF LEFT JOIN b ON …         a CROSS JOIN volley_asof() LEFT JOIN b ON …
//	a SEMI JOIN b ON …              a CROSS JOIN volley_semi() JOIN b ON …
//	read_csv(f) AS a TABLESAMPLE m (p) REPEATABLE (s)
//	                                read_csv(f) AS a CROSS JOIN volley_sample('m', p) CROSS JOIN volley_repeatable(s)
//	                                (of tables the grammar itself has TABLESAMPLE)
//
// A mark beside the left side of a join needs no knowledge of where the ON clause
// ends: joins associate to the left.

// startOf is where a token starts, the end of the text behind the last one.
func (r *rewriter) startOf(i int) int {
	if i >= len(r.toks) {
		return len(r.src.user)
	}
	return r.toks[i].start
}

// qualify begins QUALIFY at token i, if the word is the clause there.
func (r *rewriter) qualify(i int, lv *level) error {
	next := r.tok(i + 1)
	c := lv.clause
	applied := c != nil && i >= c.aliasEnd
	if lv.from < 0 && !applied || c != nil && !applied || lv.qualify >= 0 ||
		!endsOperand(r.tok(i-1)) && !(r.tok(i-1).is("all") && r.tok(i-2).is("by")) || !startsExpr(next, r.tok(i+2)) || next.is("values") || r.joinMark(i+1) {
		return nil
	}
	if inFrom := lv.where < 0 && lv.group < 0 && lv.window < 0 && !lv.done && c == nil; inFrom && next.is("(") {
		switch r.aliasColumns(i + 1) {
		case 1:
			return pgerr.New(pgerr.SyntaxError, "QUALIFY and a name in parentheses may be the clause or the alias of a table").
				WithHint("Write QUALIFY without the parentheses, or AS before the alias.").At(r.src.charPos(r.toks[i].start))
		case 2:
			return nil
		}
	}
	window := lv.window
	if c != nil {
		if err := r.finish(lv, i); err != nil {
			return err
		}
	}
	lv.sel, lv.qualify, lv.done = i, i, true
	text := "WINDOW volley_qualify AS (PARTITION BY ("
	if window >= 0 {
		text = ", volley_qualify AS (PARTITION BY ("
	}
	r.edits[i] = edit{i + 1, text}
	return nil
}

// aliasColumns tells whether the parentheses at i can be the column names of an
// alias: 0 no, 1 they could also be an expression, 2 they can be nothing else.
func (r *rewriter) aliasColumns(i int) int {
	end := r.match[i]
	if end < 0 {
		return 0
	}
	for k := i + 1; k < end; k++ {
		t := r.tok(k)
		name := t.kind == tokQuoted || t.kind == tokWord && t.class <= colName
		if odd := (k-i)%2 == 1; odd && !name || !odd && !t.is(",") {
			return 0
		}
	}
	if end-i > 2 {
		return 2
	}
	switch t := r.tok(end + 1); {
	case t.kind == tokEOF:
		return 1
	default:
		switch t.word {
		case ")", ";", "order", "limit", "offset", "fetch", "for", "union", "intersect", "except", "window", "on", "returning", "with":
			return 1
		case ",", "join", "left", "right", "full", "inner", "cross", "natural", "where", "group", "having", "tablesample", "asof", "semi", "anti":
			return 2
		}
	}
	return 0
}

// inQualify handles a token directly in a QUALIFY clause.
func (r *rewriter) inQualify(lv *level, i int) error {
	switch t := r.tok(i); t.word {
	case "window":
		r.endQualify(lv, i)
		r.edits[i] = edit{i + 1, ","}
		*lv = newLevel(lv.kind)
	case "union", "intersect", "except", "order", "limit", "offset", "fetch", "for", "on", "returning", "with", ";":
		r.endQualify(lv, i)
		*lv = newLevel(lv.kind)
	case ",", "from", "where", "group", "having":
		distinct := t.is("from") && r.tok(i-1).is("distinct")
		if i > lv.qualify && !distinct {
			return r.syntaxError(i)
		}
	}
	return nil
}

// endQualify closes the clause in progress, if any, before token i.
func (r *rewriter) endQualify(lv *level, i int) {
	if lv.qualify >= 0 {
		r.after[i-1] += "))"
		lv.qualify = -1
	}
}

// byAll rewrites GROUP BY ALL and ORDER BY ALL with the ALL at i. GROUP BY ALL a,
// which Postgres has, is another thing.
func (r *rewriter) byAll(i int) error {
	t, next := r.tok(i-2), r.tok(i+1)
	if !r.tok(i-1).is("by") || r.tok(i-3).is(".") {
		return nil
	}
	switch {
	case t.is("group"):
		ends := next.class == reserved && !startsExpr(next, r.tok(i+2)) ||
			next.kind == tokEOF || next.is(";") || next.is(")") || next.is("qualify") && startsExpr(r.tok(i+2), r.tok(i+3))
		if next.is("apply") && r.isApply(i+1) {
			return r.notSupported(i, "GROUP BY ALL with APPLY", "Name the grouping columns.")
		}
		if ends {
			r.edits[i] = edit{i + 1, "volley_group_by_all()"}
		}
	case t.is("order"):
		r.edits[i] = edit{i + 1, "volley_order_by_all()"}
	}
	return nil
}

// joinMark tells whether the word at i is ASOF, SEMI or ANTI before JOIN.
func (r *rewriter) joinMark(i int) bool {
	next := r.tok(i + 1)
	switch r.tok(i).word {
	case "asof":
		switch next.word {
		case "left", "right", "full", "inner":
			after := r.tok(i + 2)
			return after.is("join") || after.is("outer")
		}
		return next.is("join")
	case "semi", "anti":
		return next.is("join")
	}
	return false
}

// joinKind rewrites a ASOF [LEFT] JOIN b, and a [LEFT] SEMI|ANTI JOIN b.
func (r *rewriter) joinKind(i int) error {
	t, prev, next := r.tok(i), r.tok(i-1), r.tok(i+1)
	if !r.joinMark(i) {
		return nil
	}
	mark := "CROSS JOIN volley_" + t.word + "()"
	switch {
	case prev.is("left") && t.is("asof") && next.is("join"):
		r.edits[i-1] = edit{i + 1, mark + " LEFT"}
	case prev.is("left") && !t.is("asof"):
		r.edits[i-1] = edit{i + 1, mark}
	case prev.is("natural") && !t.is("asof"):
		r.edits[i-1] = edit{i + 1, mark + " NATURAL"}
	case prev.is("right"), prev.is("inner"), prev.is("natural"), prev.is("left"):
		return r.notSupported(i, upper(prev.word)+" "+upper(t.word)+" JOIN", "Write ASOF [LEFT] JOIN, SEMI JOIN or ANTI JOIN, with the sides exchanged where need be.")
	case !endsOperand(prev):
	case next.is("right"), next.is("full"):
		return r.notSupported(i, "ASOF "+upper(next.word)+" JOIN", "Write ASOF LEFT JOIN with the sides exchanged.")
	default:
		r.edits[i] = edit{i + 1, mark}
	}
	return nil
}

// star rewrites the clauses of a * of a select list, which begin at token i.
func (r *rewriter) star(i int) error {
	start := i - 1
	for r.tok(start - 1).is(".") {
		start -= 2
	}
	switch prev := r.tok(start - 1); {
	case prev.is("select"), prev.is(","), prev.is("distinct"), prev.is("all"):
	case prev.is(")"): // SELECT DISTINCT ON (…) *
		open := r.opener[start-1]
		if open < 0 || !r.tok(open-1).is("on") || !r.tok(open-2).is("distinct") {
			return nil
		}
	default:
		return nil // a product
	}
	at := i
	seen := map[string]bool{}
	for {
		t, next := r.tok(at), r.tok(at+1)
		word := t.word
		if word == "except" {
			word = "exclude"
		}
		switch word {
		case "exclude":
			if sub := r.tok(at + 2); t.is("except") && (!next.is("(") || sub.is("select") || sub.is("with") || sub.is("values") || sub.is("table") || sub.is("(")) {
				word = "" // a set operation
			}
		case "replace", "rename":
		default:
			word = ""
		}
		bare := word == "exclude" && (next.kind == tokQuoted || next.kind == tokWord && next.class <= unreserved)
		if word == "" || !bare && (!next.is("(") || r.match[at+1] < 0) {
			break
		}
		if seen[word] {
			return r.syntaxError(at)
		}
		seen[word] = true
		switch {
		case bare:
			end := at + 1
			for r.tok(end+1).is(".") && (r.tok(end+2).kind == tokWord || r.tok(end+2).kind == tokQuoted) {
				end += 2
			}
			r.edits[at] = edit{at + 1, ", volley_exclude("}
			r.after[end] += ")"
			at = end + 1
		case r.match[at+1] == at+2:
			return r.syntaxError(at + 2)
		default:
			r.edits[at] = edit{at + 1, ", volley_" + word}
			if word != "exclude" {
				if err := r.starItems(at + 1); err != nil {
					return err
				}
			}
			at = r.match[at+1] + 1
		}
	}
	if at == i {
		return nil
	}
	r.after[at-1] += ")"
	if start == i-1 {
		r.edits[start] = edit{start + 1, "volley_star(NULL"}
	} else {
		r.edits[start] = edit{start, "volley_star("}
	}
	return nil
}

// starItems turns (e AS a, …) at i into (e, a, …).
func (r *rewriter) starItems(i int) error {
	end := r.match[i]
	first := i + 1
	for k := i + 1; k <= end; k++ {
		if m := r.match[k]; m > 0 {
			k = m
			continue
		}
		if k < end && !r.tok(k).is(",") {
			continue
		}
		switch t := r.tok(first); t.word {
		case "all", "distinct", "variadic": // words of a call
			return r.syntaxError(first)
		}
		name := r.tok(k - 1)
		if k-first < 3 || !r.tok(k-2).is("as") || name.kind != tokWord && name.kind != tokQuoted {
			return r.syntaxError(k)
		}
		r.edits[k-2] = edit{k - 1, ","}
		if name.class > colName { // no column name without quotes
			r.edits[k-1] = edit{k, QuoteIdent(name.word)}
		}
		first = k + 1
	}
	return nil
}

// fileSample rewrites TABLESAMPLE at i behind a call in FROM, where the grammar has
// it for tables only.
func (r *rewriter) fileSample(i int) {
	method, open := r.tok(i+1), r.tok(i+2)
	if method.kind != tokWord && method.kind != tokQuoted || !open.is("(") || r.match[i+2] < 0 || !r.fileCall(i) {
		return
	}
	name := r.src.user[method.start:method.end]
	if method.kind == tokQuoted {
		name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	} else {
		name = strings.ToLower(name)
	}
	r.edits[i] = edit{i + 3, "CROSS JOIN volley_sample('" + strings.ReplaceAll(name, "'", "''") + "', "}
	if end := r.match[i+2]; r.tok(end+1).is("repeatable") && r.tok(end+2).is("(") {
		r.edits[end+1] = edit{end + 2, "CROSS JOIN volley_repeatable"}
	}
}

// fileCall tells whether read_…(…) [[AS] alias [(columns)]] in FROM ends before
// token i.
func (r *rewriter) fileCall(i int) bool {
	call := func(end int) bool { // ends the call at end?
		if !r.tok(end).is(")") {
			return false
		}
		open := r.opener[end]
		f := r.tok(open - 1)
		if f.kind != tokWord && f.kind != tokQuoted || !strings.HasPrefix(strings.ToLower(r.src.user[f.start:f.end]), "read_") {
			return false
		}
		before := r.tok(open - 2)
		return before.is("from") || before.is(",") || before.is("join")
	}
	i--
	if call(i) {
		return true
	}
	if r.tok(i).is(")") {
		if i = r.opener[i]; i < 0 {
			return false
		}
		i--
	}
	if t := r.tok(i); t.kind != tokWord && t.kind != tokQuoted {
		return false
	}
	if i--; r.tok(i).is("as") {
		i--
	}
	return call(i)
}
