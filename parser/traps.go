package parser

import "github.com/volleydb/volley/pgerr"

// notSupported is the refusal of a clause, at a token.
func (r *rewriter) notSupported(i int, what, hint string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "%s is not supported yet", what).
		WithHint("%s", hint).At(r.src.charPos(r.toks[i].start))
}

// trap looks for the clauses of other dialects, which Postgres' grammar would take
// for an alias, or name only as a syntax error: it notes the rewrite of those that
// we have and refuses the others. A quoted alias, and one after AS, is never taken
// for such a clause.
func (r *rewriter) trap(i int, lv *level) error {
	t, prev, next := r.tok(i), r.tok(i-1), r.tok(i+1)
	switch t.word {
	case "asof", "semi", "anti":
		return r.joinKind(i)
	case "qualify":
		return r.qualify(i, lv)
	case "tablesample":
		if lv.from >= 0 {
			r.fileSample(i)
		}
	case "sample":
		operand := endsOperand(prev) && (next.kind == tokNumber || next.kind == tokParam ||
			next.is("(") && r.tok(i+2).kind == tokNumber)
		if lv.from >= 0 && (operand || prev.is("using") && next.kind != tokEOF) {
			return r.notSupported(i, "SAMPLE", "Write FROM t TABLESAMPLE BERNOULLI (10).")
		}
	case "table":
		if next.is("(") && !prev.is("returns") && !prev.is(".") && !prev.is("as") {
			return r.tableFunc(i, lv)
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
		return r.byAll(i)
	case "exclude", "except", "replace", "rename":
		if prev.is("*") && lv.sel >= 0 && lv.from < 0 {
			return r.star(i)
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
