package parser

// tableCall is the call of a function over a table, as SQL:2016 has it:
//
//	FROM TABLE(f(rows => TABLE(t) AS a PARTITION BY (k) ORDER BY o, x => 1)) AS r
//
// It is written as what GROUP BY … APPLY becomes:
//
//	FROM (SELECT volley_apply(f(rows => volley_table_arg(a.*), x => 1 ORDER BY o)), k
//	      FROM t AS a GROUP BY k) AS r
//
// for the planner, which puts the columns of a in the places of the arguments of f
// that have their names. Ends are exclusive.
type tableCall struct {
	start, end int // TABLE … ')'
	fn, open   int // f, its parenthesis
	last       int // the parenthesis that closes the call of f
	arg        int // the TABLE of the argument
	argEnd     int // what follows the argument: ',' or last
	in, inEnd  int // what is in the parentheses of TABLE(…)
	query      bool
	alias      int // -1 for none
	aliasEnd   int
	keys       []groupKey
	order      groupKey // start is -1 for none
	named      bool     // an alias of the whole follows
}

// tableFunc looks at TABLE ( in a place where the grammar has it not: it notes the
// call of a function over a table in FROM and takes the parentheses off that of
// another function there.
func (r *rewriter) tableFunc(i int, lv *level) error {
	if r.tableArgs[i] {
		return nil
	}
	refuse := func(at int) error {
		return r.notSupported(at, "TABLE(…) in this place", "Write FROM TABLE(f(rows => TABLE(t) PARTITION BY k ORDER BY o)), or GROUP BY k APPLY f(x ORDER BY o).")
	}
	prev := r.tok(i - 1)
	inFrom := lv.from >= 0 && lv.where < 0 && lv.group < 0 && (prev.is("from") || prev.is(",") || prev.is("join") || prev.is("lateral"))
	c := &tableCall{start: i, fn: i + 2, alias: -1, order: groupKey{start: -1}}
	c.end = r.match[i+1] + 1
	if c.open = r.funcName(c.fn); !inFrom || c.end <= 0 || c.open <= 0 || !r.tok(c.open).is("(") || r.match[c.open] != c.end-2 {
		return refuse(i)
	}
	c.last = r.match[c.open]
	for k := c.open + 1; k < c.last; k++ {
		t := r.tok(k)
		if before := r.tok(k - 1); r.tok(k+1).is("(") && (before.is("=>") || before.is("(") || before.is(",")) && r.match[k+1] > 0 {
			switch {
			case t.is("descriptor"):
				return r.notSupported(k, "DESCRIPTOR(…)", "Name the columns in an argument of type text.")
			case t.is("table") && c.arg > 0:
				return r.notSupported(k, "more than one table argument", "Join the tables in one: TABLE(SELECT … FROM a JOIN b …).")
			case t.is("table"):
				c.arg = k
				r.tableArgs[k] = true
				if err := r.tableArg(c); err != nil {
					return err
				}
				k = c.argEnd - 1
				continue
			}
		}
		if m := r.match[k]; m > 0 {
			k = m
		} else if t.is("copartition") {
			return r.notSupported(k, "COPARTITION", "Join the tables in one: TABLE(SELECT … FROM a JOIN b …).")
		}
	}
	if c.arg == 0 {
		r.edits[i] = edit{i + 2, ""}
		r.edits[c.end-1] = edit{c.end, ""}
		return nil
	}
	switch t := r.tok(c.end); {
	case t.is("as"), t.kind == tokQuoted, t.kind == tokWord && t.class == notKeyword && !t.is("qualify") && !r.joinMark(c.end):
		c.named = true
	case t.is("with") && r.tok(c.end+1).is("ordinality"):
		return r.notSupported(c.end, "WITH ORDINALITY of a function over a table", "Use row_number() OVER ().")
	}
	r.tables[i] = c
	return nil
}

// tableArg takes the argument TABLE(…) … at c.arg apart.
func (r *rewriter) tableArg(c *tableCall) error {
	named := r.tok(c.arg - 1).is("=>")
	c.in, c.inEnd = c.arg+2, r.match[c.arg+1]
	if c.in == c.inEnd {
		return r.syntaxError(c.inEnd)
	}
	switch first := r.tok(c.in); first.word {
	case "select", "with", "values", "(", "table":
		c.query = true
	}
	at := c.inEnd + 1
	if t := r.tok(at); t.is("as") || (t.kind == tokQuoted || t.kind == tokWord && t.class == notKeyword) &&
		!t.is("copartition") && !t.is("prune") && !t.is("keep") {
		if t.is("as") {
			at++
		}
		if a := r.tok(at); a.kind != tokWord && a.kind != tokQuoted {
			return r.syntaxError(at)
		}
		c.alias, at = at, at+1
		if r.tok(at).is("(") && r.match[at] > 0 {
			at = r.match[at] + 1
		}
		c.aliasEnd = at
	}
	// ends tells whether a clause ends at k: a comma goes on with the list where what
	// follows cannot be another argument.
	ends := func(k int) bool {
		t := r.tok(k)
		switch {
		case k >= c.last:
			return true
		case t.is(","):
			return !named || r.tok(k+2).is("=>")
		}
		return t.is("order") && r.tok(k+1).is("by") || (t.is("prune") || t.is("keep")) && r.tok(k+1).is("when") || t.is("copartition")
	}
	list := func(k int) (items []groupKey, end int) {
		start := k
		for ; !ends(k); k++ {
			if m := r.match[k]; m > 0 {
				k = m
			} else if r.tok(k).is(",") {
				items = append(items, groupKey{start, k, -1})
				start = k + 1
			}
		}
		return append(items, groupKey{start, k, -1}), k
	}
	if r.tok(at).is("partition") && r.tok(at+1).is("by") {
		c.keys, at = list(at + 2)
		if len(c.keys) == 1 {
			if k := c.keys[0]; r.tok(k.start).is("(") && r.match[k.start] == k.end-1 {
				c.keys = nil
				ac := &applyClause{allKeys: -1}
				if err := r.addKey(ac, k); err != nil {
					return err
				}
				c.keys = ac.keys
			}
		}
		for _, k := range c.keys {
			if k.start >= k.end {
				return r.syntaxError(k.start)
			}
		}
	}
	if r.tok(at).is("order") && r.tok(at+1).is("by") {
		items, end := list(at + 2)
		c.order = groupKey{items[0].start, end, -1}
		if o := c.order; r.tok(o.start).is("(") && r.match[o.start] == o.end-1 {
			c.order = groupKey{o.start + 1, o.end - 1, -1}
		}
		if at = end; c.order.start >= c.order.end {
			return r.syntaxError(c.order.start)
		}
	}
	if t := r.tok(at); (t.is("prune") || t.is("keep")) && r.tok(at+1).is("when") && r.tok(at+2).is("empty") {
		if t.is("prune") != (len(c.keys) > 0) {
			return r.notSupported(at, upper(t.word)+" WHEN EMPTY here", "Without PARTITION BY the function is called for an empty table too; with it, once for each partition.")
		}
		at += 3
	}
	if t := r.tok(at); t.is("copartition") {
		return r.notSupported(at, "COPARTITION", "Join the tables in one: TABLE(SELECT … FROM a JOIN b …).")
	}
	if at != c.last && !r.tok(at).is(",") {
		return r.syntaxError(at)
	}
	c.argEnd = at
	return nil
}

// emitTableCall writes (SELECT volley_apply(…), keys FROM … GROUP BY keys) AS f.
func (r *rewriter) emitTableCall(c *tableCall) error {
	pos := func(i int) int { return r.tok(i).start }
	alias := func() {
		switch {
		case c.alias >= 0:
			r.out.copy(r.toks[c.alias].start, r.toks[c.alias].end)
		case !c.query && r.tok(c.inEnd-1).kind == tokQuoted, !c.query && r.tok(c.inEnd-1).kind == tokWord:
			r.out.copy(r.toks[c.inEnd-1].start, r.toks[c.inEnd-1].end)
		default:
			r.out.insert("volley_rows", pos(c.arg))
		}
	}
	r.out.insert("(SELECT volley_apply(", pos(c.start))
	if err := r.emit(c.fn, c.arg); err != nil {
		return err
	}
	if !r.tok(c.arg - 1).is("(") {
		r.out.insert(" ", pos(c.arg))
	}
	r.out.insert("volley_table_arg(", pos(c.arg))
	alias()
	r.out.insert(".*)", pos(c.arg))
	if err := r.emit(c.argEnd, c.last); err != nil {
		return err
	}
	if c.order.start >= 0 {
		r.out.insert(" ORDER BY ", pos(c.order.start))
		if err := r.emit(c.order.start, c.order.end); err != nil {
			return err
		}
	}
	r.out.insert("))", pos(c.last))
	for _, k := range c.keys {
		r.out.insert(", ", pos(k.start))
		if err := r.emit(k.start, k.end); err != nil {
			return err
		}
	}
	r.out.insert(" FROM ", pos(c.arg))
	if c.query {
		r.out.insert("(", pos(c.arg))
	}
	if err := r.emit(c.in, c.inEnd); err != nil {
		return err
	}
	if c.query {
		r.out.insert(")", pos(c.inEnd))
	}
	r.out.insert(" AS ", pos(c.arg))
	alias()
	if c.alias >= 0 && c.aliasEnd > c.alias+1 {
		r.out.copy(r.toks[c.alias+1].start, r.toks[c.aliasEnd-1].end)
	}
	r.out.insert(" GROUP BY ", pos(c.arg))
	if len(c.keys) == 0 {
		r.out.insert("()", pos(c.arg))
	}
	for i, k := range c.keys {
		if i > 0 {
			r.out.insert(", ", pos(k.start))
		}
		if err := r.emit(k.start, k.end); err != nil {
			return err
		}
	}
	r.out.insert(")", pos(c.end-1))
	if c.named {
		return nil
	}
	r.out.insert(" AS ", pos(c.start))
	if t := r.toks[c.open-1]; t.class > unreserved {
		r.out.insert(QuoteIdent(t.word), t.start)
	} else {
		r.out.copy(t.start, t.end)
	}
	return nil
}
