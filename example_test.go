package volley_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/volleydb/volley"
	"github.com/volleydb/volley/udf/sdk"
)

// A program with functions of its own in SQL.
func Example() {
	ctx := context.Background()
	db, err := volley.Open(ctx, volley.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	err = db.Register(ctx, udf.Scalar("initials", func(name string) string {
		s := ""
		for _, w := range strings.Fields(name) {
			s += w[:1]
		}
		return s
	}, udf.Immutable))
	if err != nil {
		log.Fatal(err)
	}
	rows, err := db.Query(ctx, "SELECT name, initials(name) FROM (VALUES ('Ada Lovelace'), ('Grace Hopper')) p (name) WHERE name < $1 ORDER BY name", "Z")
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, initials string
		if err := rows.Scan(&name, &initials); err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, initials)
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Ada Lovelace AL
	// Grace Hopper GH
}
