package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A server with an OpenTelemetry endpoint sends it a span per query, stage, task and
// function; without one there are none.
func TestTracing(t *testing.T) {
	needGo(t)
	var mu sync.Mutex
	var spans []*tracev1.Span
	resource := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &m); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range m.ResourceSpans {
			resource = fmt.Sprint(rs.Resource)
			for _, s := range rs.ScopeSpans {
				spans = append(spans, s.Spans...)
			}
		}
	}))
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	file := filepath.Join(t.TempDir(), "n.vudf")
	must(t, "udf", "build", "../../examples/normalize", "-o", file)
	p := start(t, serveArgs(t.TempDir())...)
	_, declaration, _ := strings.Cut(must(t, "udf", "push", file, "--host", p.url()), "\n\n")
	must(t, "sql", "--host", p.url(), "-c", declaration, "-c", `SELECT count(public.normalize('Row ' || g)) FROM generate_series(1, 1000) g`)
	if _, _, code := volley("", "sql", "--host", p.url(), "-c", "SELECT 1 / (g - 5) FROM generate_series(1, 10) g"); code == 0 {
		t.Error("no error")
	}
	p.stop() // which sends what there is
	mu.Lock()
	defer mu.Unlock()
	byID := map[string]*tracev1.Span{}
	for _, s := range spans {
		byID[string(s.SpanId)] = s
	}
	attributes := func(s *tracev1.Span) string {
		var b strings.Builder
		for _, a := range s.Attributes {
			fmt.Fprintf(&b, "%s=%v\n", a.Key, a.Value)
		}
		return b.String()
	}
	calls, failures := 0, 0
	for _, s := range spans {
		if s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("span %s ends before it starts", s.Name)
		}
		if s.Name == "query" && s.Status.GetCode() == tracev1.Status_STATUS_CODE_ERROR {
			failures++
		}
		if s.Name != "function normalize" {
			continue
		}
		calls++
		path := s.Name
		for at := s; len(at.ParentSpanId) > 0; {
			parent := byID[string(at.ParentSpanId)]
			if parent == nil {
				t.Fatalf("the parent of %s is not there", at.Name)
			}
			if at = parent; at.StartTimeUnixNano > s.StartTimeUnixNano || at.EndTimeUnixNano < s.EndTimeUnixNano {
				t.Errorf("%s is not within %s", s.Name, at.Name)
			}
			path = at.Name + " > " + path
			if at.Name == "query" && !strings.Contains(attributes(at), "SELECT count(public.normalize(") {
				t.Errorf("query: %s", attributes(at))
			}
		}
		if path != "query > stage > task > function normalize" {
			t.Error(path)
		}
		if a := attributes(s); !strings.Contains(a, "volley.rows=int_value:1000") || !strings.Contains(a, "volley.worker") && !strings.Contains(a, "volley.user_us") {
			t.Errorf("function: %s", a)
		}
	}
	if calls == 0 || failures == 0 {
		t.Errorf("%d calls and %d failed queries among %d spans", calls, failures, len(spans))
	}
	if !strings.Contains(resource, `"volley"`) || !strings.Contains(resource, `"test"`) {
		t.Errorf("resource: %s", resource)
	}
}
