package parser

import (
	"github.com/volleydb/volley/pgerr"
)

// rewriter turns GROUP BY … APPLY and the clauses of clauses.go into the Postgres
// grammar, on the tokens of the user's text. It works in two passes: find notes
// every clause, however deep in subqueries it stands; emit writes the text,
// copying what the user wrote and moving the parts of each noted SELECT.
type rewriter struct {
	src    *source
	toks   []token              // without comments
	match  []int                // of an opening parenthesis, bracket or CASE: the token that closes it, or -1
	opener []int                // of what closes one: the token that opens it, or -1
	found  map[int]*applyClause // by the token its replacement starts at
	edits  map[int]edit         // by the first token that is replaced
	after  map[int]string       // text behind a token
	tables map[int]*tableCall   // by their TABLE
	// tableArgs are the TABLE of arguments of tables.
	tableArgs map[int]bool
	out       builder
	none      token
}

// edit puts text in the place of the tokens up to end, which is exclusive.
type edit struct {
	end  int
	text string
}

// applyClause is one SELECT with APPLY, as indices of tokens; ends are exclusive.
type applyClause struct {
	start      int // FROM, or WHERE or GROUP when there is no FROM
	group      int // GROUP
	apply      int
	keys       []groupKey
	allKeys    int // start of the first key
	fn, fnEnd  int // f(args)
	name       int // the last part of the function's name
	alias      int // first token of the alias (without AS), or -1
	aliasEnd   int
	after, end int // HAVING … or nothing
}

// groupKey is a grouping expression, and its name when it is written expr AS name.
type groupKey struct{ start, end, name int }

// level is an open parenthesis (or bracket, or CASE, or the statement itself)
// with the SELECT in progress directly inside it. Indices are -1 until seen.
type level struct {
	kind                    byte
	sel, from, where, group int
	keyStart                int
	keys                    []groupKey
	clause                  *applyClause
	window, qualify         int
	done                    bool // HAVING or WINDOW: no APPLY can follow
}

func newLevel(kind byte) level {
	return level{kind: kind, sel: -1, from: -1, where: -1, group: -1, window: -1, qualify: -1}
}

// rewrite returns the text for libpg_query: sql itself when there is nothing to do.
func rewrite(src *source) error {
	r := &rewriter{src: src, found: map[int]*applyClause{}, edits: map[int]edit{}, after: map[int]string{}, tables: map[int]*tableCall{}, tableArgs: map[int]bool{}}
	l := lexer{text: src.user}
	for t := l.next(); t.kind != tokEOF; t = l.next() {
		if t.open {
			return nil // libpg_query has the words for it
		}
		r.toks = append(r.toks, t)
	}
	r.pair()
	if err := r.find(); err != nil {
		return err
	}
	if len(r.found) == 0 && len(r.edits) == 0 && len(r.after) == 0 && len(r.tables) == 0 {
		return nil
	}
	r.out.user = src.user
	r.out.copy(0, r.toks[0].start)
	if err := r.emit(0, len(r.toks)); err != nil {
		return err
	}
	r.out.copy(r.toks[len(r.toks)-1].end, len(src.user))
	src.text, src.spans = r.out.text.String(), r.out.spans
	// The rewrite adds subqueries, so the guard has to see its result too.
	_, err := check(src.text)
	return err
}

// tok returns the i-th token, an empty one outside the text.
func (r *rewriter) tok(i int) *token {
	if i < 0 || i >= len(r.toks) {
		return &r.none
	}
	return &r.toks[i]
}

// opens returns what a token begins: '(', '[' or 'c' for CASE; 0 for nothing.
func (r *rewriter) opens(i int) byte {
	switch t := r.tok(i); t.word {
	case "(", "[":
		return t.word[0]
	case "case":
		if p := r.tok(i - 1); !p.is(".") && !p.is("as") {
			return 'c'
		}
	}
	return 0
}

// pair fills match and opener.
func (r *rewriter) pair() {
	r.match, r.opener = make([]int, len(r.toks)), make([]int, len(r.toks))
	type open struct {
		at   int
		kind byte
	}
	var stack []open
	for i := range r.toks {
		r.match[i], r.opener[i] = -1, -1
		if k := r.opens(i); k != 0 {
			stack = append(stack, open{i, k})
		} else if n := len(stack); n > 0 && closes(&r.toks[i], stack[n-1].kind) && !r.tok(i-1).is(".") {
			r.match[stack[n-1].at] = i
			r.opener[i] = stack[n-1].at
			stack = stack[:n-1]
		}
	}
}

// find runs over the tokens with a stack of levels.
func (r *rewriter) find() error {
	stack := []level{newLevel(0)}
	for i := range r.toks {
		lv := &stack[len(stack)-1]
		t, prev := &r.toks[i], r.tok(i-1)
		name := t.kind == tokWord && (prev.is(".") || prev.is("as") && (lv.sel >= 0 || !t.is("select")))
		if name && !t.is("apply") {
			continue // a name or label, whatever the word
		}
		if err := r.trap(i, lv); err != nil {
			return err
		}
		if kind := r.opens(i); kind != 0 {
			if c := lv.clause; c != nil && i >= c.aliasEnd && !r.tok(c.aliasEnd).is("having") {
				return r.syntaxError(i)
			}
			stack = append(stack, newLevel(kind))
			continue
		}
		if lv.kind != 0 && closes(t, lv.kind) {
			if err := r.finish(lv, i); err != nil {
				return err
			}
			stack = stack[:len(stack)-1]
			continue
		}
		if err := r.step(lv, i, name); err != nil {
			return err
		}
	}
	for n := len(stack) - 1; n >= 0; n-- {
		if err := r.finish(&stack[n], len(r.toks)); err != nil {
			return err
		}
	}
	return nil
}

// step handles a token that is directly in a level.
func (r *rewriter) step(lv *level, i int, name bool) error {
	t := &r.toks[i]
	if t.is("select") {
		r.endQualify(lv, i)
		*lv = newLevel(lv.kind)
		lv.sel = i
		return nil
	}
	if lv.sel < 0 {
		return nil
	}
	if lv.qualify >= 0 {
		return r.inQualify(lv, i)
	}
	if c := lv.clause; c != nil {
		return r.afterApply(lv, c, i)
	}
	switch t.word {
	case "from":
		distinct := r.tok(i-1).is("distinct") && (r.tok(i-2).is("is") || r.tok(i-2).is("not"))
		if lv.from < 0 && lv.group < 0 && !distinct {
			lv.from = i
		}
	case "where":
		if lv.where < 0 {
			lv.where = i
		}
	case "group":
		if lv.group < 0 && r.tok(i+1).is("by") {
			lv.group, lv.keyStart = i, i+2
		}
	case ",":
		if lv.group >= 0 && !lv.done {
			lv.keys = append(lv.keys, r.key(lv.keyStart, i))
			lv.keyStart = i + 1
		}
	case "apply":
		if lv.done {
			return nil
		}
		if lv.group >= 0 && i > lv.keyStart && (name && r.tok(i-1).is("as")) {
			return nil // a key's name
		}
		if lv.group >= 0 && i > lv.keyStart && r.isApply(i) && (endsOperand(r.tok(i-1)) || r.tok(i-2).is("as")) {
			return r.apply(lv, i)
		}
	case "having":
		lv.done = lv.group >= 0
	case "window":
		lv.done = lv.group >= 0
		lv.window = i
	case "union", "intersect", "except", "order", "limit", "offset", "fetch", "for", ";":
		if _, ok := r.edits[i]; !ok { // not the EXCEPT of a *
			*lv = newLevel(lv.kind) // none of our clauses can follow in this SELECT
		}
	}
	return nil
}

// isApply tells whether APPLY at i is followed by the name of a function and '('.
func (r *rewriter) isApply(i int) bool {
	end := r.funcName(i + 1)
	return end > 0 && r.tok(end).is("(") && r.match[end] > 0 && !r.tok(i-1).is(".")
}

// funcName returns the end of a possibly qualified function name at i, 0 for none.
func (r *rewriter) funcName(i int) int {
	for first := true; ; first = false {
		switch t := r.tok(i); {
		case t.kind == tokQuoted:
		case t.kind == tokWord && (!first || t.class != reserved && t.class != colName):
		default:
			return 0
		}
		if !r.tok(i + 1).is(".") {
			return i + 1
		}
		i += 2
	}
}

// key takes apart a grouping expression.
func (r *rewriter) key(start, end int) groupKey {
	k := groupKey{start: start, end: end, name: -1}
	if end-start >= 3 && r.tok(end-2).is("as") {
		k.end, k.name = end-2, end-1
	}
	return k
}

// apply notes the clause APPLY f(args) [AS a] at i.
func (r *rewriter) apply(lv *level, i int) error {
	c := &applyClause{start: lv.from, group: lv.group, apply: i, fn: i + 1, alias: -1, allKeys: lv.group + 2}
	if c.start < 0 {
		c.start = lv.where
	}
	if c.start < 0 {
		c.start = lv.group
	}
	open := r.funcName(i + 1)
	c.name = open - 1
	c.fnEnd = r.match[open] + 1
	for _, k := range append(lv.keys, r.key(lv.keyStart, i)) {
		if err := r.addKey(c, k); err != nil {
			return err
		}
	}
	at := c.fnEnd
	switch t := r.tok(at); {
	case t.is("filter") && r.tok(at+1).is("("), t.is("over"), t.is("within") && r.tok(at+1).is("group"):
		return r.notSupported(at, upper(t.word)+" after APPLY", "Filter the rows with WHERE, and order them inside the call: APPLY f(x ORDER BY y).")
	case t.is(","), t.is("apply") && r.isApply(at):
		return r.notSupported(at, "more than one function after APPLY", "Write one APPLY in a subquery of its own for each function, and join them.")
	case t.is("as"):
		c.alias = at + 1
		if a := r.tok(c.alias); a.kind != tokWord && a.kind != tokQuoted {
			return r.syntaxError(c.alias)
		}
	case t.kind == tokQuoted, t.kind == tokWord && t.class == notKeyword && !t.is("qualify"):
		c.alias = at
	}
	c.aliasEnd = at
	if c.alias >= 0 {
		c.aliasEnd = c.alias + 1
		if r.tok(c.aliasEnd).is("(") && r.match[c.aliasEnd] > 0 {
			c.aliasEnd = r.match[c.aliasEnd] + 1
		}
	}
	c.after, c.end = c.aliasEnd, -1
	lv.clause = c
	return nil
}

// addKey adds a grouping expression to the clause; (a, b) stands for a and b.
func (r *rewriter) addKey(c *applyClause, k groupKey) error {
	t := r.tok(k.start)
	next := r.tok(k.start + 1)
	switch {
	case (t.is("all") || t.is("distinct")) && k.start == c.allKeys,
		(t.is("rollup") || t.is("cube")) && next.is("("), t.is("grouping") && next.is("sets"):
		return r.notSupported(k.start, "GROUP BY "+upper(t.word)+" with APPLY", "Name the grouping columns.")
	case t.kind == tokNumber && k.end == k.start+1:
		return r.notSupported(k.start, "a GROUP BY position with APPLY", "Name the grouping column.")
	}
	if k.name < 0 && t.is("(") && r.match[k.start] == k.end-1 {
		if k.end == k.start+2 {
			return nil // (): one group
		}
		item, wrapped := k.start+1, true
		var items []groupKey
		for i := k.start + 1; i < k.end; i++ {
			if m := r.match[i]; m > 0 {
				i = m
			} else if r.tok(i).is("select") || r.tok(i).is("with") || r.tok(i).is("values") {
				wrapped = false // a scalar subquery
			} else if r.tok(i).is(",") || i == k.end-1 {
				items = append(items, groupKey{item, i, -1})
				item = i + 1
			}
		}
		if wrapped {
			for _, k := range items {
				if err := r.addKey(c, k); err != nil {
					return err
				}
			}
			return nil
		}
	}
	c.keys = append(c.keys, k)
	return nil
}

// afterApply handles the tokens from f's arguments on to the end of the SELECT.
func (r *rewriter) afterApply(lv *level, c *applyClause, i int) error {
	t := &r.toks[i]
	if i < c.aliasEnd || c.end >= 0 {
		if t.is(";") {
			return r.finish(lv, i)
		}
		return nil
	}
	switch t.word {
	case "window":
		return r.notSupported(i, "WINDOW with APPLY", "Write the window function in an outer query: SELECT …, sum(x) OVER (…) FROM (SELECT … APPLY …) AS q.")
	case "having":
		if i == c.aliasEnd {
			return nil
		}
	case "union", "intersect", "except", "order", "limit", "offset", "fetch", "for", "on", "returning", "with", ";":
		return r.finish(lv, i)
	}
	if r.tok(c.aliasEnd).is("having") {
		return nil
	}
	// In the rewritten text a WHERE or JOIN would be one of the outer SELECT.
	return r.syntaxError(i)
}

// syntaxError is Postgres' error for a token that may not stand where it does.
func (r *rewriter) syntaxError(i int) error {
	if i >= len(r.toks) {
		return pgerr.New(pgerr.SyntaxError, "syntax error at end of input").At(r.src.charPos(len(r.src.user)))
	}
	t := r.toks[i]
	return pgerr.New(pgerr.SyntaxError, "syntax error at or near \"%s\"", r.src.user[t.start:t.end]).At(r.src.charPos(t.start))
}

// finish notes the clause in progress, whose SELECT ends at token i.
func (r *rewriter) finish(lv *level, i int) error {
	r.endQualify(lv, i)
	if c := lv.clause; c != nil {
		c.end = i
		r.found[c.start] = c
	}
	*lv = newLevel(lv.kind)
	return nil
}

// emit writes the tokens from lo up to hi with what stands between them.
func (r *rewriter) emit(lo, hi int) error {
	if r.out.text.Len() > maxText {
		return pgerr.New(pgerr.ProgramLimitExceeded, "statement is too long after its clauses are expanded")
	}
	if lo >= hi {
		return nil
	}
	pos := r.toks[lo].start // what the user wrote before is dealt with
	flush := func(to int) {
		r.out.copy(pos, to)
		pos = to
	}
	for i := lo; i < hi; i++ {
		if e, ok := r.edits[i]; ok && e.end <= hi {
			flush(r.toks[i].start)
			r.out.insert(e.text, r.toks[i].start)
			if e.end > i {
				i = e.end - 1
				pos = r.toks[i].end
			}
		}
		if c := r.found[i]; c != nil && c.end <= hi {
			flush(r.toks[i].start)
			if err := r.emitClause(c); err != nil {
				return err
			}
			i = c.end - 1
			pos = r.toks[i].end
		}
		if c := r.tables[i]; c != nil && c.end <= hi {
			flush(r.toks[i].start)
			if err := r.emitTableCall(c); err != nil {
				return err
			}
			i = c.end - 1
			pos = r.toks[i].end
		}
		if text := r.after[i]; text != "" {
			flush(r.toks[i].end)
			r.out.insert(text, r.startOf(i+1))
		}
	}
	flush(r.toks[hi-1].end)
	return nil
}

// emitClause writes FROM (SELECT volley_apply(…), keys FROM … GROUP BY keys) AS a.
func (r *rewriter) emitClause(c *applyClause) error {
	// While the parts are written, c.start must be an ordinary token.
	delete(r.found, c.start)
	defer func() { r.found[c.start] = c }()
	pos := func(i int) int { return r.tok(i).start }

	r.out.insert("FROM (SELECT volley_apply(", pos(c.apply))
	if err := r.emit(c.fn, c.fnEnd); err != nil {
		return err
	}
	r.out.insert(")", pos(c.apply))
	for _, k := range c.keys {
		r.out.insert(", ", pos(k.start))
		if k.name < 0 {
			if err := r.emit(k.start, k.end); err != nil {
				return err
			}
			continue
		}
		r.out.insert("(", pos(k.start))
		if err := r.emit(k.start, k.end); err != nil {
			return err
		}
		r.out.insert(") AS ", pos(k.name))
		r.out.copy(r.toks[k.name].start, r.toks[k.name].end)
	}
	if c.start < c.group {
		r.out.insert(" ", pos(c.start))
		if err := r.emit(c.start, c.group); err != nil {
			return err
		}
	}
	r.out.insert(" ", pos(c.group))
	r.out.copy(r.toks[c.group].start, r.toks[c.group+1].end)
	if len(c.keys) == 0 {
		r.out.insert(" ()", pos(c.allKeys))
	}
	for i, k := range c.keys {
		sep := ", "
		if i == 0 {
			sep = " "
		}
		r.out.insert(sep, pos(k.start))
		if err := r.emit(k.start, k.end); err != nil {
			return err
		}
	}
	if c.after < c.end {
		r.out.insert(" ", pos(c.after))
		if err := r.emit(c.after, c.end); err != nil {
			return err
		}
	}
	if c.alias >= 0 {
		r.out.insert(") AS ", pos(c.alias))
		r.out.copy(r.toks[c.alias].start, r.toks[c.aliasEnd-1].end)
		return nil
	}
	r.out.insert(") AS ", pos(c.apply))
	if t := r.toks[c.name]; t.class > unreserved { // a keyword, as an alias only in quotes
		r.out.insert(QuoteIdent(t.word), t.start)
	} else {
		r.out.copy(t.start, t.end)
	}
	return nil
}
