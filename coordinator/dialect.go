package coordinator

import (
	"github.com/volleydb/volley/parser"
	"github.com/volleydb/volley/parser/mysql"
)

// Parse parses a text in the session's dialect, volley.dialect. All statements of
// one text are in the dialect that held before it.
func (s *Session) Parse(sql string) ([]*parser.Statement, error) {
	if s.settings.get("volley.dialect") == "mysql" {
		return mysql.Parse(sql)
	}
	return parser.Parse(sql)
}
