package parser

import "github.com/volleydb/volley/pgerr"

// Mark says that the bytes of a translated text from At on, up to the next mark,
// stand for the place User in the user's text. Both are byte offsets.
type Mark struct{ At, User int }

// ParseTranslated parses the translation into Postgres' grammar of a text in
// another dialect. Positions in errors, and of the nodes, are those of the user's
// text at the marks, which ascend by At.
func ParseTranslated(user, text string, marks []Mark) ([]*Statement, error) {
	list, err := Parse(text)
	src := &source{user: user, text: text, spans: []span{{}}}
	for _, m := range marks {
		src.spans = append(src.spans, span{at: m.At, user: m.User})
	}
	if err != nil {
		e := *pgerr.From(err)
		if e.Position > 0 {
			e.Position = src.charPos(src.userOffset(byteOffset(text, e.Position)))
		}
		return nil, &e
	}
	for _, st := range list {
		st.Translated = true
		if st.src.text != text {
			continue // rewritten once more: its positions are those of the translation
		}
		st.src = src
	}
	return list, nil
}
