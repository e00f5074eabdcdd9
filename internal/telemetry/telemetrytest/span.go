package telemetrytest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span that has arrived.
type Span struct {
	Name       string
	Kind       string // INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER
	Trace      string // hexadecimal, as the other ids
	ID         string
	Parent     string // "" for the root of a trace
	Links      []string
	Start, End time.Time
	Attributes map[string]string
	Resource   map[string]string // of the process: service.name, ...
	Events     []string          // name and attributes
	Failed     bool              // its status is an error
	Status     string            // the text of its status
}

func readSpans(r *tracepb.ExportTraceServiceRequest) []Span {
	var out []Span
	for _, resource := range r.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				span := Span{Name: s.Name, Kind: strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), Trace: hex.EncodeToString(s.TraceId),
					ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId), Start: moment(s.StartTimeUnixNano),
					End: moment(s.EndTimeUnixNano), Attributes: readAttributes(s.Attributes), Resource: readAttributes(resource.Resource.GetAttributes()),
					Failed: s.Status.GetCode() == v1.Status_STATUS_CODE_ERROR, Status: s.Status.GetMessage()}
				for _, l := range s.Links {
					span.Links = append(span.Links, hex.EncodeToString(l.SpanId))
				}
				for _, e := range s.Events {
					span.Events = append(span.Events, strings.TrimSpace(e.Name+" "+text(readAttributes(e.Attributes))))
				}
				out = append(out, span)
			}
		}
	}
	return out
}

func moment(unixNano uint64) time.Time { return time.Unix(0, int64(min(unixNano, 1<<63-1))).UTC() }

func readAttributes(list []*commonpb.KeyValue) map[string]string {
	out := make(map[string]string, len(list))
	for _, a := range list {
		switch v := a.Value.GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			out[a.Key] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			out[a.Key] = strconv.FormatBool(v.BoolValue)
		case *commonpb.AnyValue_DoubleValue:
			out[a.Key] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		default:
			out[a.Key] = a.Value.String()
		}
	}
	return out
}

// text writes attributes in the order of their names.
func text(attributes map[string]string) string {
	var parts []string
	for k, v := range attributes {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// String writes a span with its attributes on one line, without ids and times.
func (s Span) String() string {
	line := s.Name
	if a := text(s.Attributes); a != "" {
		line += " " + a
	}
	if s.Failed {
		line += " FAILED " + s.Status
	}
	return strings.TrimRight(line, " ")
}

// Tree writes what has arrived as a tree per trace, children below their parents in the order in which they began, each with its
// name, and FAILED where it did. Spans whose parent has not arrived stand at the top, marked with "...".
func (c *Collector) Tree() string {
	all := c.Spans()
	slices.SortStableFunc(all, func(a, b Span) int { return a.Start.Compare(b.Start) })
	below := map[string][]Span{}
	known := map[string]bool{}
	for _, s := range all {
		known[s.ID] = true
	}
	var tops []Span
	for _, s := range all {
		if known[s.Parent] {
			below[s.Parent] = append(below[s.Parent], s)
		} else {
			tops = append(tops, s)
		}
	}
	var out strings.Builder
	var write func(s Span, depth int)
	write = func(s Span, depth int) {
		mark, failed := "", ""
		if depth == 0 && s.Parent != "" {
			mark = "... "
		}
		if s.Failed {
			failed = " FAILED"
		}
		fmt.Fprintf(&out, "%s%s%s%s\n", strings.Repeat("  ", depth), mark, s.Name, failed)
		for _, child := range below[s.ID] {
			write(child, depth+1)
		}
	}
	for _, s := range tops {
		write(s, 0)
	}
	return out.String()
}

// lower writes the names of headers as gRPC does.
func lower(headers http.Header) map[string][]string {
	out := make(map[string][]string, len(headers))
	for name, values := range headers {
		out[strings.ToLower(name)] = values
	}
	return out
}
