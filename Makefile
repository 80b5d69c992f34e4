# make build | demo | test | test-race | test-peers | slt | lint | bench | bench-peers | bench-memory | bench-udf | fuzz | fuzz-sql | proto | clean
#
# Go alone is enough. With a C compiler, `build` makes the SQL parser several
# times faster (tag pgquery_cgo); the tests run the build without, and the parser's
# in both.

GO      ?= go
BIN     := bin/volley
CC_PATH := $(shell command -v "$${CC:-cc}" 2>/dev/null || command -v gcc 2>/dev/null || command -v clang 2>/dev/null)

ifneq ($(CC_PATH),)
BUILD_ENV  := CGO_ENABLED=1
BUILD_TAGS := -tags pgquery_cgo
else
BUILD_ENV  := CGO_ENABLED=0
BUILD_TAGS :=
endif
PLAIN := CGO_ENABLED=0

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PROTOC_GEN_GO := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
PROTOC_GEN_GRPC := google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
FUZZTIME ?= 60s
comma := ,

.PHONY: build build-plain demo test vet test-go test-cgo test-race test-peers slt lint bench bench-peers bench-memory bench-udf fuzz fuzz-sql proto clean

build:
	$(BUILD_ENV) $(GO) build -trimpath $(BUILD_TAGS) -o $(BIN) ./cmd/volley

# Without C, whatever is installed: what most people's `go build` gives.
build-plain:
	$(PLAIN) $(GO) build -trimpath -o $(BIN) ./cmd/volley

demo: build-plain
	./$(BIN) demo

test: vet test-go $(if $(CC_PATH),test-cgo)

vet:
	$(PLAIN) $(GO) vet ./...

test-go:
	$(PLAIN) $(GO) test -timeout 15m ./...

test-cgo:
	CGO_ENABLED=1 $(GO) test -tags pgquery_cgo -timeout 15m ./parser/...

test-race:
	CGO_ENABLED=1 $(GO) test -race -tags pgquery_cgo -timeout 60m ./...

# TPC-H, TPC-DS, ClickBench and H2O: stored answers of DuckDB, embedded and with
# three workers. A part of test-go.
test-peers:
	$(PLAIN) $(GO) test ./test/answers -count=1 -v -run TestAnswers

# sqllogictest files of other projects: make slt FILES='test/select1.test test/random' ARGS=-nokeys
slt:
	$(BUILD_ENV) $(GO) run $(BUILD_TAGS) ./test/slt $(ARGS) $(FILES)

lint: vet
	$(PLAIN) $(GO) run $(STATICCHECK) ./...

# Against DuckDB and plain Go loops; ARGS=-short for a quick look.
bench:
	cd bench && $(GO) run . $(ARGS)

# TPC-H at scale factor 1, ClickBench's queries over 10 million rows and H2O's over
# as many, against DuckDB; or others: make bench-peers ARGS='-suite tpcds,features'
bench-peers:
	cd bench && $(GO) run . $(or $(ARGS),-suite tpch$(comma)clickbench$(comma)h2o -reps 3)

# Peak memory of every operator with a tenth of its working set, over 40 million events.
bench-memory: build
	cd bench && $(GO) run . -peak-of ../$(BIN) $(or $(ARGS),-sf 40)

# Functions in every runtime, against plain Go loops, DuckDB's functions in Go and Spark's
# in pandas; groups of many sizes; a costly function on one worker and on two. PYTHON is
# an interpreter with pandas, pyarrow and pyspark, without which they are left out.
bench-udf: build
	cd bench && $(GO) run -ldflags=-funcalign=64 . -udf $(or $(PARTS),calls$(comma)groups$(comma)costly) $(if $(PYTHON),-python $(PYTHON)) $(or $(ARGS),-rows 2000000 -reps 3)

# Every fuzz target in turn, for FUZZTIME each.
fuzz:
	@for p in $$($(PLAIN) $(GO) list ./...); do \
	  for f in $$($(PLAIN) $(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "== $$p $$f"; \
	    $(PLAIN) $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

# Random queries against a Postgres: make fuzz-sql PG='host=/tmp user=postgres' N=3000 SEED=1
fuzz-sql:
	$(PLAIN) $(GO) test ./test/fuzzsql -v -count=1 -timeout 2h -postgres '$(PG)' -statements $(or $(N),1000) -seed $(or $(SEED),1)

# Needs protoc 3.21.
proto:
	GOBIN=$(CURDIR)/bin/tools $(GO) install $(PROTOC_GEN_GO)
	GOBIN=$(CURDIR)/bin/tools $(GO) install $(PROTOC_GEN_GRPC)
	cd proto && PATH="$(CURDIR)/bin/tools:$$PATH" protoc --go_out=. --go_opt=paths=source_relative \
	  --go-grpc_out=. --go-grpc_opt=paths=source_relative *.proto

clean:
	rm -rf bin
