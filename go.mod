module github.com/volleydb/volley

go 1.26
