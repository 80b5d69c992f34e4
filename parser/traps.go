package parser

import "github.com/volleydb/volley/pgerr"

// notSupported is the refusal of a clause, at a token.
func (r *rewriter) notSupported(i int, what, hint string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "%s is not supported yet", what).
		WithHint("%s", hint).At(r.src.charPos(r.toks[i].start))
}

// trap refuses clauses of other dialects that Postgres' grammar would take for
// an alias, or name only as a syntax error. A quoted alias, and one after AS,
// is never taken for such a clause.
func (r *rewriter) trap(i int, lv *level) error {
	t, prev, next := r.tok(i), r.tok(i-1), r.tok(i+1)
	switch t.word {
	case "asof", "semi", "anti":
		return r.trapJoin(i)
	case "qualify":
		if lv.from >= 0 && endsOperand(prev) && startsExpr(next, r.tok(i+2)) {
			return r.notSupported(i, "QUALIFY", "Compute the window function in a subquery and filter it there: SELECT … FROM (SELECT *, row_number() OVER (…) AS rn FROM t) AS q WHERE rn = 1.")
		}
	case "sample":
		operand := endsOperand(prev) && (next.kind == tokNumber || next.kind == tokParam ||
			next.is("(") && r.tok(i+2).kind == tokNumber)
		if lv.from >= 0 && (operand || prev.is("using") && next.kind != tokEOF) {
			return r.notSupported(i, "SAMPLE", "Use TABLESAMPLE, or WHERE random() < 0.1.")
		}
	case "table":
		if next.is("(") && !prev.is("returns") && !prev.is(".") && !prev.is("as") {
			return r.notSupported(i, "TABLE(…) with a table argument", "Use GROUP BY … APPLY f(…), or name the function in FROM: FROM f(…).")
		}
	case "model":
		start := i - 1
		if prev.is("replace") && r.tok(i-2).is("or") {
			start = i - 3
		}
		if (r.tok(start).is("create") || r.tok(start).is("drop")) && next.kind != tokEOF {
			return r.notSupported(i, "CREATE MODEL", "Train in a function: CREATE TABLE m AS SELECT * FROM t GROUP BY () APPLY train(…).")
		}
	case "all":
		if prev.is("by") && !r.tok(i-2).is(".") && (next.class == reserved && !startsExpr(next, r.tok(i+2)) ||
			next.kind == tokEOF || next.is(";") || next.is(")") || next.is("qualify") || next.is("apply") && r.isApply(i+1)) {
			if r.tok(i - 2).is("group") {
				return r.notSupported(i, "GROUP BY ALL", "Name the grouping columns.")
			}
			if r.tok(i - 2).is("order") {
				return r.notSupported(i, "ORDER BY ALL", "Name the columns to sort by.")
			}
		}
	case "exclude", "except":
		star := prev.is("*") && (r.tok(i-2).is("select") || r.tok(i-2).is(",") || r.tok(i-2).is(".") || r.tok(i-2).is("distinct") || r.tok(i-2).is("all"))
		sub := r.tok(i + 2)
		query := sub.is("select") || sub.is("with") || sub.is("values") || sub.is("table") || sub.is("(")
		if star && (next.is("(") && !query || t.is("exclude") && next.kind == tokWord) {
			return r.notSupported(i, "* "+upper(t.word), "Name the columns to return.")
		}
	case "ignore", "respect":
		if last := r.tok(i + 2); next.is("nulls") && !last.is("first") && !last.is("last") {
			if r.nullTreatment(i) {
				return nil
			}
			return r.notSupported(i, upper(t.word)+" NULLS", "Filter the nulls: an aggregate takes FILTER (WHERE x IS NOT NULL).")
		}
	}
	return nil
}

// nullTreatment rewrites f(x) IGNORE NULLS OVER … and f(x IGNORE NULLS) OVER … to
// f(x) FILTER (WHERE volley_ignore_nulls()) OVER …, which the grammar has.
func (r *rewriter) nullTreatment(i int) bool {
	text := ""
	if r.tok(i).is("ignore") {
		text = "FILTER (WHERE volley_ignore_nulls())"
	}
	switch {
	case r.tok(i-1).is(")") && r.tok(i+2).is("over"):
		r.edits[i] = edit{i + 2, text}
	case endsOperand(r.tok(i-1)) && r.tok(i+2).is(")") && r.tok(i+3).is("over"):
		r.edits[i] = edit{i + 2, ""}
		r.edits[i+3] = edit{i + 3, text + " "}
	default:
		return false
	}
	return true
}

func upper(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] &^= 0x20
	}
	return string(b)
}

// trapJoin refuses a ASOF [LEFT] JOIN b, and a [LEFT] SEMI|ANTI JOIN b.
func (r *rewriter) trapJoin(i int) error {
	t, prev, next := r.tok(i), r.tok(i-1), r.tok(i+1)
	kind := next.is("join")
	if t.is("asof") {
		switch next.word {
		case "left", "right", "full", "inner":
			kind = true
		}
	}
	if !kind || !(endsOperand(prev) || prev.is("left") || prev.is("right") || prev.is("natural") || prev.is("inner")) {
		return nil
	}
	hint := "Use a lateral join: FROM a LEFT JOIN LATERAL (SELECT * FROM b WHERE b.k = a.k AND b.t <= a.t ORDER BY b.t DESC LIMIT 1) AS b ON true."
	switch t.word {
	case "semi":
		hint = "Use WHERE EXISTS (SELECT 1 FROM b WHERE …)."
	case "anti":
		hint = "Use WHERE NOT EXISTS (SELECT 1 FROM b WHERE …)."
	}
	return r.notSupported(i, upper(t.word)+" JOIN", hint)
}

// endsOperand tells whether an expression or a table may end with the token, so
// that a bare name after it would be an alias.
func endsOperand(t *token) bool {
	switch t.kind {
	case tokQuoted, tokNumber, tokString, tokParam:
		return true
	case tokPunct:
		return t.is(")") || t.is("]")
	case tokWord:
		switch t.class {
		case notKeyword:
			return true
		case unreserved:
			return !t.is("by") && !t.is("escape") && !t.is("over")
		case colName:
			return !t.is("between") && !t.is("exists")
		}
		switch t.word {
		case "isnull", "notnull", "true", "false", "null", "end", "default", "user",
			"current_date", "current_time", "current_timestamp", "current_role", "current_user",
			"current_catalog", "current_schema", "localtime", "localtimestamp", "session_user", "system_user":
			return true
		}
	}
	return false
}

// startsExpr tells whether an expression may begin with the token, as opposed to
// the clause that follows an alias.
func startsExpr(t, next *token) bool {
	switch t.kind {
	case tokQuoted, tokNumber, tokString, tokParam:
		return true
	case tokPunct:
		return t.is("(")
	case tokOp:
		return t.is("-") || t.is("+")
	case tokWord:
		switch t.class {
		case typeFuncName: // left(x, 1), but not LEFT JOIN
			return next.is("(")
		case reserved:
			switch t.word {
			case "case", "cast", "not", "array":
				return true
			}
			return endsOperand(t)
		}
		return !t.is("set") && !t.is("apply")
	}
	return false
}
