package docsearch_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
)

// parse reads JSON with its numbers as they are written.
func parse[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// plain returns a value as it is after it went over the wire.
func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parse[any](t, string(text))
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const event = `{"@timestamp": "2026-03-01T11:30:00.250Z", "level": "ERROR", "message": "Connection to web-01.example.com timed out, it's over", "user": {"name": "alice", "roles": ["admin", "Ops Team"]},
	"code": 502, "took": 1.5, "ok": false, "ip": "10.1.2.3", "path": "/var/log/app.log", "empty": "", "null": null, "dotted.name": "x", "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "day": "2026-02-28", "ts": 1772364600250, "id": "A-7"}`

func TestQueriesMatchWhatElasticsearchMatches(t *testing.T) {
	t.Parallel()
	doc := docsearch.Document{Index: "logs", ID: "d1", Source: parse[map[string]any](t, event)}
	for _, c := range []struct {
		query string
		want  bool
	}{
		{`{}`, true}, {`{"match_all": {}}`, true}, {`{"match_none": {}}`, false},
		{`{"term": {"level": "ERROR"}}`, true}, {`{"term": {"level": "error"}}`, true}, {`{"term": {"level": "Error"}}`, false},
		{`{"term": {"level.keyword": "ERROR"}}`, true}, {`{"term": {"level.keyword": "error"}}`, false},
		{`{"term": {"level": {"value": "eRRor", "case_insensitive": true}}}`, true},
		{`{"term": {"message": "timed"}}`, true}, {`{"term": {"message.keyword": "timed"}}`, false},
		{`{"term": {"code": 502}}`, true}, {`{"term": {"code": "502"}}`, true}, {`{"term": {"code": 502.0}}`, true}, {`{"term": {"code": 503}}`, false},
		{`{"term": {"ok": false}}`, true}, {`{"term": {"ok": "false"}}`, true}, {`{"term": {"ok": true}}`, false},
		{`{"term": {"user.name": "alice"}}`, true}, {`{"term": {"dotted.name": "x"}}`, true}, {`{"term": {"user.roles": "Ops Team"}}`, true}, {`{"term": {"list.k": "b"}}`, true},
		{`{"term": {"ip": "10.0.0.0/8"}}`, true}, {`{"term": {"ip": "11.0.0.0/8"}}`, false},
		{`{"term": {"day": "2026-02-28"}}`, true}, {`{"term": {"@timestamp": "2026-03-01T11:30:00.250Z"}}`, true}, {`{"term": {"@timestamp": "2026-03-01T13:30:00.250+02:00"}}`, true},
		{`{"terms": {"code": [1, "502"]}}`, true}, {`{"terms": {"level.keyword": ["WARN", "ERROR"]}}`, true}, {`{"terms": {"level": ["x"]}}`, false},
		{`{"range": {"code": {"gte": 500, "lt": 600}}}`, true}, {`{"range": {"code": {"gt": 502}}}`, false}, {`{"range": {"took": {"gt": "1", "lte": 1.5}}}`, true},
		{`{"range": {"@timestamp": {"gt": "2026-03-01T11:30:00.249Z", "lte": "2026-03-01T11:30:00.250Z"}}}`, true},
		{`{"range": {"@timestamp": {"gt": "2026-03-01T11:30:00.250Z"}}}`, false},
		{`{"range": {"@timestamp": {"gte": "now-31m", "lt": "now"}}}`, true}, {`{"range": {"@timestamp": {"gte": "now-29m"}}}`, false}, {`{"range": {"@timestamp": {"gte": "now/d", "lte": "now/d"}}}`, true},
		{`{"range": {"@timestamp": {"gte": "2026-02-28||+1d/d"}}}`, true}, {`{"range": {"@timestamp": {"lt": "2026-02-28||+1d/d"}}}`, false},
		{`{"range": {"@timestamp": {"lte": "2026-03-01"}}}`, true}, {`{"range": {"@timestamp": {"lt": "2026-03-01"}}}`, false}, {`{"range": {"@timestamp": {"gt": "2026-03-01"}}}`, false},
		{`{"range": {"@timestamp": {"lte": "2026-03-01T11:30:00Z"}}}`, true}, {`{"range": {"@timestamp": {"lte": "2026-03-01T11:30:00.000Z"}}}`, false}, {`{"range": {"@timestamp": {"gt": "2026-03-01T11:30:00Z"}}}`, false},
		{`{"range": {"@timestamp": {"gte": 1772364600250, "lte": 1772364600250}}}`, true}, {`{"range": {"@timestamp": {"gte": "1772364600", "format": "epoch_second", "lt": "1772364601"}}}`, true},
		{`{"range": {"@timestamp": {"gte": "01/03/2026", "lte": "01/03/2026", "format": "dd/MM/yyyy||yyyy"}}}`, true}, {`{"range": {"@timestamp": {"gte": "2026-03-01T13:00", "time_zone": "+02:00"}}}`, true},
		{`{"range": {"ts": {"gt": "2026-03-01T11:30:00.249Z", "lt": "now"}}}`, true}, {`{"range": {"ts": {"gt": 1772364600250}}}`, false},
		{`{"range": {"user.name": {"gte": "alice", "lt": "b"}}}`, true}, {`{"range": {"ip": {"gte": "9.0.0.1", "lte": "10.1.2.3"}}}`, true},
		{`{"exists": {"field": "user.name"}}`, true}, {`{"exists": {"field": "user"}}`, true}, {`{"exists": {"field": "null"}}`, false}, {`{"exists": {"field": "empty"}}`, true}, {`{"exists": {"field": "us*"}}`, true},
		{`{"match": {"message": "nothing TIMED"}}`, true}, {`{"match": {"message": {"query": "nothing timed", "operator": "and"}}}`, false}, {`{"match": {"message": "web-01"}}`, true},
		{`{"match": {"message": {"query": "a b connection timed", "minimum_should_match": "75%"}}}`, false}, {`{"match": {"message": {"query": "b connection timed", "minimum_should_match": 2}}}`, true},
		{`{"match": {"message": {"query": "conection", "fuzziness": "AUTO"}}}`, true}, {`{"match": {"code": "502"}}`, true}, {`{"match": {"level.keyword": "error"}}`, false},
		{`{"match_phrase": {"message": "timed OUT"}}`, true}, {`{"match_phrase": {"message": "out timed"}}`, false}, {`{"match_phrase": {"message": {"query": "out timed", "slop": 2}}}`, true},
		{`{"match_phrase": {"message": "connection web"}}`, false}, {`{"match_phrase": {"message": {"query": "connection web", "slop": 1}}}`, true}, {`{"match_phrase_prefix": {"message": "timed ou"}}`, true},
		{`{"multi_match": {"query": "alice", "fields": ["level", "user.*^3"]}}`, true}, {`{"multi_match": {"query": "alice", "fields": ["level"]}}`, false}, {`{"multi_match": {"query": "alice error", "type": "cross_fields", "operator": "and", "fields": ["level", "user.name"]}}`, true},
		{`{"prefix": {"level": "ERR"}}`, true}, {`{"prefix": {"message": "time"}}`, true}, {`{"prefix": {"level.keyword": "err"}}`, false},
		{`{"wildcard": {"path": "/var/*.log"}}`, true}, {`{"wildcard": {"path": {"value": "/VAR/*", "case_insensitive": true}}}`, true}, {`{"wildcard": {"level": "e?ror"}}`, true}, {`{"wildcard": {"id": {"wildcard": "A-?"}}}`, true},
		{`{"regexp": {"level": "ERR.*"}}`, true}, {`{"regexp": {"level": "RR"}}`, false}, {`{"regexp": {"code": "5<0-9>2"}}`, true}, {`{"regexp": {"id": "[A-C]-\\d"}}`, true}, {`{"regexp": {"path": "/var/@"}}`, true},
		{`{"fuzzy": {"user.name": {"value": "alcie"}}}`, true}, {`{"fuzzy": {"user.name": {"value": "bob"}}}`, false},
		{`{"ids": {"values": ["d1"]}}`, true}, {`{"term": {"_id": "d2"}}`, false}, {`{"term": {"_index": "logs"}}`, true},
		{`{"bool": {"must": {"term": {"level": "error"}}, "must_not": [{"term": {"code": 200}}], "filter": [{"exists": {"field": "ip"}}]}}`, true},
		{`{"bool": {"should": [{"term": {"code": 1}}, {"term": {"code": 2}}]}}`, false}, {`{"bool": {"filter": [], "should": [{"term": {"code": 1}}]}}`, false},
		{`{"bool": {"filter": [{"match_all": {}}], "should": [{"term": {"code": 1}}]}}`, true}, {`{"bool": {"filter": [{"match_all": {}}], "should": [{"term": {"code": 1}}], "minimum_should_match": 1}}`, false},
		{`{"bool": {"should": [{"term": {"code": 502}}, {"term": {"ok": false}}, {"term": {"code": 2}}], "minimum_should_match": "-1"}}`, true}, {`{"bool": {"must_not": {"term": {"code": 502}}}}`, false}, {`{"bool": {}}`, true},
		{`{"constant_score": {"filter": {"term": {"code": 502}}, "boost": 2}}`, true}, {`{"dis_max": {"queries": [{"term": {"code": 1}}, {"term": {"code": 502}}]}}`, true},
		{`{"bool": {"filter": [{"term": {"list.k": "a"}}, {"term": {"list.v": 2}}]}}`, true}, {`{"nested": {"path": "list", "query": {"bool": {"filter": [{"term": {"list.k": "a"}}, {"term": {"list.v": 2}}]}}}}`, false},
		{`{"nested": {"path": "list", "query": {"bool": {"filter": [{"term": {"list.k": "b"}}, {"term": {"list.v": 2}}]}}}}`, true},
		{`{"simple_query_string": {"query": "error + timed -nothing", "fields": ["level", "message"]}}`, true}, {`{"simple_query_string": {"query": "\"timed out\" + (x | al*)"}}`, true}, {`{"simple_query_string": {"query": "y + error"}}`, false},
	} {
		q, err := docsearch.Compile(parse[map[string]any](t, c.query))
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
		} else if got := q.Match(doc, nil, now); got != c.want {
			t.Errorf("%s matches: %v", c.query, got)
		}
	}
}

func TestLucenesSyntaxIsReadAsLuceneReadsIt(t *testing.T) {
	t.Parallel()
	doc := docsearch.Document{Source: parse[map[string]any](t, event)}
	for _, c := range []struct {
		query string
		want  bool
	}{
		{`*`, true}, {`*:*`, true}, {``, false}, {`error`, true}, {`alice`, true}, {`nothing`, false}, {`level:error`, true}, {`level:ERROR`, true}, {`level : ERROR`, true}, {`level.keyword:error`, false},
		{`level:"ERROR"`, true}, {`user.name:"alice"`, true}, {`user.name:("bob" OR "alice")`, true}, {`NOT user.name:"alice"`, false}, {`NOT user.name:"bob"`, true}, {`user.name:"bob" OR user.name:"carol"`, false},
		{`code:502 AND level:error`, true}, {`code:502 && level:warn`, false}, {`code:1 || level:error`, true}, {`code:1 level:error`, true}, {`+code:1 level:error`, false}, {`code:502 -level:error`, false}, {`code:502 !level:warn`, true},
		{`code:502 AND NOT level:warn`, true}, {`code:502 AND (NOT level:warn)`, true}, {`(code:1 OR code:502) AND level:error`, true}, {`code:502 AND level:(warn OR error)`, true}, {`code:1 AND code:2 OR level:error`, false},
		{`code:502 OR code:1 AND code:2`, false}, {`code:502 OR NOT level:error`, false},
		{`code:[500 TO 599]`, true}, {`code:[502 TO 502]`, true}, {`code:{502 TO 600]`, false}, {`code:[1 TO 502}`, false}, {`code:[* TO 500]`, false}, {`code:>501`, true}, {`code:>=502`, true}, {`code:<502`, false}, {`code:(>=500 AND <600)`, true}, {`took:>1.4`, true},
		{`@timestamp:[2026-03-01 TO 2026-03-02]`, true}, {`@timestamp:["2026-03-01T00:00:00Z" TO "2026-03-01T11:00:00Z"]`, false}, {`@timestamp:[now-1h TO now]`, true}, {`@timestamp:>2026-03-01T11:00:00`, true},
		{`message:time*`, true}, {`message:TIME*`, true}, {`message:tim?d`, true}, {`path:\/var\/log*`, true}, {`path:"/var/log/app.log"`, true}, {`message:*`, true}, {`null:*`, false}, {`user.\*:alice`, true}, {`level:/ERR.R/`, true}, {`level:/err/`, false},
		{`_exists_:code`, true}, {`_exists_:nope`, false}, {`NOT _exists_:nope`, true}, {`level:errror~`, true}, {`level:errror~0`, false}, {`"timed out"`, true}, {`"out timed"`, false}, {`"out timed"~2`, true}, {`level:error^2 AND code:502^1.5`, true},
		{`message:(timed AND out)`, true}, {`message:web\-01`, true}, {`message:"web-01.example.com"`, true}, {`message:it's`, true}, {`user.roles:"Ops Team"`, true}, {`ok:false`, true}, {`ip:"10.0.0.0/8"`, true}, {`ip:10.1.2.3`, true}, {`ip:10.1.*`, true},
		{`message:\u0074imed`, true}, {`AND_NOT OR error`, true}, {`day:"2026-02-28"`, true},
	} {
		body, _ := json.Marshal(map[string]any{"query_string": map[string]any{"query": c.query}})
		q, err := docsearch.Compile(parse[map[string]any](t, string(body)))
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
		} else if got := q.Match(doc, nil, now); got != c.want {
			t.Errorf("%s matches: %v", c.query, got)
		}
	}
	for query, want := range map[string]string{
		`level:`: "an end where a value should be at character 7", `(a OR b`: "a ( that is not closed at character 1", `a)`: "a ) that was not opened at character 2", `"a`: `a " that is not closed at character 1`,
		`a AND`: "AND with nothing after it at character 3", `OR a`: "OR with nothing before it at character 1", `f:[1 TO`: "a range that is not [a TO b] at character 3", `f:[1 2]`: "a range that is not [a TO b]", `/var/log/x`: "a regular expression that has no / at its end at character 9",
		`foo/bar`: "a regular expression that has no / at its end at character 4", `a:b:c`: `':' where a value should be`, `f:/[/`: "a [ that does not end", `a^`: "a ^ without a number", `NOT`: "NOT with nothing after it", `()`: "nothing between ( and )", `t:[now-1q TO now]`: "is no date math",
	} {
		if err := docsearch.ParseQueryString(query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", query, err, want)
		}
	}
}

func TestQueriesMadeToTakeLongDoNot(t *testing.T) {
	t.Parallel()
	doc := docsearch.Document{Source: map[string]any{"a": strings.Repeat("a ", 40)}}
	for _, query := range []string{`"` + strings.Repeat("a ", 30) + `b"~20`, strings.Repeat("a OR ", 5000) + "b", strings.Repeat("*a", 500) + "b", "/" + strings.Repeat("(a*)*", 50) + "b/", `/<0-999><0-999>/`} {
		q, err := docsearch.Compile(map[string]any{"query_string": map[string]any{"query": query}})
		if err != nil {
			t.Errorf("%.20s: %v", query, err)
		} else if q.Match(doc, nil, now) != strings.HasPrefix(query, "a OR") {
			t.Errorf("%.20s does or does not match", query)
		}
	}
	if err := docsearch.ParseQueryString(strings.Repeat("(", 200) + "a" + strings.Repeat(")", 200)); err == nil {
		t.Error("200 brackets within one another are read")
	}
}

func TestWhatIsNotKnownIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		`{"geo_distance": {}}`: "unknown query [geo_distance]", `{"term": {"a": 1, "b": 2}}`: "[term] is of one field, not of a and b", `{"term": {"a": {"valu": 1}}}`: "[term] of a has no value", `{"term": {"a": {"value": 1, "x": 2}}}`: "[term] of a does not support [x]",
		`{"term": {"a": [1]}}`: "wants one value, not a list", `{"terms": {"a": {"index": "i"}}}`: "looks its values up", `{"range": {"a": {"gt": "now-1x"}}}`: `"-1x" is no date math`, `{"range": {"a": {"above": 1}}}`: "does not support [above]",
		`{"bool": {"musst": []}}`: "[bool] does not support [musst]", `{"a": {}, "b": {}}`: "a query has one name, not a, b", `{"query_string": {"query": "a AND", "fuzzi": 1}}`: "AND with nothing after it", `{"query_string": {"query": "a", "fuzzi": 1}}`: "does not support [fuzzi]",
		`{"regexp": {"a": "["}}`: "a [ that does not end", `{"regexp": {"a": "a&b"}}`: "operator &", `{"bool": {"minimum_should_match": "x"}}`: `cannot be "x"`, `{"match": {"a": {"query": "x", "analyzer": "german"}}}`: `the analyzer "german"`,
		`{"range": {"a": {"gt": 1, "format": "QQ"}}}`: `has "QQ"`, `{"bool": {"filter": [{"script": {}}]}}`: "unknown query [script]", `{"match": "x"}`: "[match] wants an object, not a text",
	} {
		if _, err := docsearch.Compile(parse[map[string]any](t, query)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", query, err, want)
		}
	}
	for body, want := range map[string]string{
		`{"aggs": {"x": {"weird": {}}}}`: `unknown aggregation [weird] of the name "x"`, `{"aggs": {"x": {"avg": {"field": "a", "scrip": 1}}}}`: "does not support [scrip]", `{"aggs": {"x": {"avg": {"script": "1"}}}}`: "a script, which cannot be run",
		`{"aggs": {"x": {"avg": {"field": "a"}, "aggs": {"y": {"sum": {"field": "a"}}}}}}`: "takes no aggregations below it", `{"aggs": {"x": {"date_histogram": {"field": "a", "fixed_interval": "1y"}}}}`: "is not like 30s",
		`{"suggest": {}}`: "the search does not support [suggest]", `{"sort": ["a"], "search_after": [1, 2]}`: "search_after has 2 values, sort has 1", `{"query": []}`: "the query is a list", `{"size": -1}`: "a whole number from 0",
	} {
		if _, err := docsearch.Search(nil, parse[map[string]any](t, body), nil, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

func TestTheStandardAnalyzerTellsWordsApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"The QUICK brown-fox": "the quick brown fox", "web-01.example.com": "web 01 example.com", "it's 1,000.50 x,y": "it's 1,000.50 x y", "user_name@host:8080": "user_name host 8080", "10.1.2.3/8": "10.1.2.3 8", "a:b 1:2": "a:b 1 2", "日本 ok": "日 本 ok", "--": "",
	} {
		if got := strings.Join(docsearch.Analyze(text), " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// requests are the documents that aggregations are tried on.
func requests(t *testing.T) []docsearch.Document {
	var docs []docsearch.Document
	for i, line := range strings.Split(strings.TrimSpace(`
{"@timestamp": "2026-03-01T00:00:10Z", "host": "a", "ms": 100, "user": "u1", "up": true}
{"@timestamp": "2026-03-01T00:00:50Z", "host": "b", "ms": 300, "user": "u2", "up": true}
{"@timestamp": "2026-03-01T00:01:00Z", "host": "a", "ms": 200, "user": "u1", "up": false}
{"@timestamp": "2026-03-01T00:03:10Z", "host": "a", "ms": 400.5, "user": "u3"}
{"@timestamp": "2026-03-01T00:03:20Z", "host": "c", "user": "u1"}
{"@timestamp": "2026-03-02T05:00:00Z", "ms": 7}`), "\n") {
		docs = append(docs, docsearch.Document{Index: "logs", ID: string(rune('1' + i)), Source: parse[map[string]any](t, line)})
	}
	return docs
}

func TestAggregationsAnswerAsElasticsearchDoes(t *testing.T) {
	t.Parallel()
	docs := requests(t)
	for _, c := range []struct{ aggs, want string }{
		{`{"x": {"terms": {"field": "host.keyword", "size": 2}}}`, `{"x": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 1, "buckets": [{"key": "a", "doc_count": 3}, {"key": "b", "doc_count": 1}]}}`},
		{`{"x": {"terms": {"field": "host", "min_doc_count": 2}}}`, `{"x": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [{"key": "a", "doc_count": 3}]}}`},
		{`{"x": {"terms": {"field": "host", "missing": "none", "order": {"_key": "desc"}}}}`, `{"x": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [{"key": "none", "doc_count": 1}, {"key": "c", "doc_count": 1}, {"key": "b", "doc_count": 1}, {"key": "a", "doc_count": 3}]}}`},
		{`{"x": {"terms": {"field": "up"}}}`, `{"x": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [{"key": 1, "key_as_string": "true", "doc_count": 2}, {"key": 0, "key_as_string": "false", "doc_count": 1}]}}`},
		{`{"x": {"terms": {"field": "host", "order": {"m": "asc"}}, "aggs": {"m": {"avg": {"field": "ms"}}}}}`, `{"x": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [{"key": "c", "doc_count": 1, "m": {"value": null}}, {"key": "a", "doc_count": 3, "m": {"value": 233.5}}, {"key": "b", "doc_count": 1, "m": {"value": 300.0}}]}}`},
		{`{"a": {"min": {"field": "ms"}}, "b": {"max": {"field": "ms"}}, "c": {"sum": {"field": "ms"}}, "d": {"value_count": {"field": "host"}}, "e": {"cardinality": {"field": "user.keyword"}}}`, `{"a": {"value": 7.0}, "b": {"value": 400.5}, "c": {"value": 1007.5}, "d": {"value": 5}, "e": {"value": 3}}`},
		{`{"a": {"min": {"field": "no"}}, "b": {"avg": {"field": "no"}}, "c": {"sum": {"field": "no"}}, "d": {"value_count": {"field": "no"}}, "e": {"cardinality": {"field": "no"}}, "f": {"percentiles": {"field": "no", "percents": [95]}}, "g": {"max": {"field": "no", "missing": 3}}}`,
			`{"a": {"value": null}, "b": {"value": null}, "c": {"value": 0.0}, "d": {"value": 0}, "e": {"value": 0}, "f": {"values": {"95.0": null}}, "g": {"value": 3.0}}`},
		{`{"p": {"percentiles": {"field": "ms", "percents": [50, 99.9]}}, "q": {"percentiles": {"field": "ms", "percents": [50], "keyed": false}}}`, `{"p": {"values": {"50.0": 200.0, "99.9": 400.5}}, "q": {"values": [{"key": 50.0, "value": 200.0}]}}`},
		{`{"s": {"stats": {"field": "ms"}}}`, `{"s": {"count": 5, "min": 7.0, "max": 400.5, "avg": 201.5, "sum": 1007.5}}`},
		{`{"h": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 1}, "aggs": {"m": {"max": {"field": "ms"}}}}}`, `{"h": {"buckets": [{"key": 1772323200000, "key_as_string": "2026-03-01T00:00:00.000Z", "doc_count": 2, "m": {"value": 300.0}},
			{"key": 1772323260000, "key_as_string": "2026-03-01T00:01:00.000Z", "doc_count": 1, "m": {"value": 200.0}}, {"key": 1772323380000, "key_as_string": "2026-03-01T00:03:00.000Z", "doc_count": 2, "m": {"value": 400.5}}, {"key": 1772427600000, "key_as_string": "2026-03-02T05:00:00.000Z", "doc_count": 1, "m": {"value": 7.0}}]}}`},
		{`{"h": {"date_histogram": {"field": "@timestamp", "calendar_interval": "day", "time_zone": "+06:00"}}}`, `{"h": {"buckets": [{"key": 1772301600000, "key_as_string": "2026-02-28T18:00:00.000Z", "doc_count": 5}, {"key": 1772388000000, "key_as_string": "2026-03-01T18:00:00.000Z", "doc_count": 1}]}}`},
		{`{"f": {"filter": {"range": {"@timestamp": {"lt": "2026-03-01T00:03:00Z"}}}, "aggs": {"h": {"date_histogram": {"field": "@timestamp", "fixed_interval": "30s", "offset": "+15s"}}}}}`, `{"f": {"doc_count": 3, "h": {"buckets": [{"key": 1772323185000, "key_as_string": "2026-02-28T23:59:45.000Z", "doc_count": 1},
			{"key": 1772323215000, "key_as_string": "2026-03-01T00:00:15.000Z", "doc_count": 0}, {"key": 1772323245000, "key_as_string": "2026-03-01T00:00:45.000Z", "doc_count": 2}]}}}`},
		{`{"h": {"histogram": {"field": "ms", "interval": 100, "min_doc_count": 1}}}`, `{"h": {"buckets": [{"key": 0.0, "doc_count": 1}, {"key": 100.0, "doc_count": 1}, {"key": 200.0, "doc_count": 1}, {"key": 300.0, "doc_count": 1}, {"key": 400.0, "doc_count": 1}]}}`},
		{`{"f": {"filters": {"other_bucket_key": "_other_", "filters": {"match_bucket": {"range": {"ms": {"gte": 300}}}}}}}`, `{"f": {"buckets": {"match_bucket": {"doc_count": 2}, "_other_": {"doc_count": 4}}}}`},
		{`{"f": {"filters": {"filters": [{"term": {"host": "a"}}, {"term": {"host": "b"}}], "other_bucket": true}}}`, `{"f": {"buckets": [{"doc_count": 3}, {"doc_count": 1}, {"doc_count": 2}]}}`},
		{`{"m": {"missing": {"field": "host"}}}`, `{"m": {"doc_count": 1}}`},
		{`{"c": {"composite": {"size": 2, "sources": [{"h": {"terms": {"field": "host"}}}, {"u": {"terms": {"field": "user", "order": "desc"}}}]}}}`, `{"c": {"after_key": {"h": "a", "u": "u1"}, "buckets": [{"key": {"h": "a", "u": "u3"}, "doc_count": 1}, {"key": {"h": "a", "u": "u1"}, "doc_count": 2}]}}`},
		{`{"c": {"composite": {"size": 2, "after": {"h": "a", "u": "u1"}, "sources": [{"h": {"terms": {"field": "host"}}}, {"u": {"terms": {"field": "user", "order": "desc"}}}]}}}`, `{"c": {"after_key": {"h": "c", "u": "u1"}, "buckets": [{"key": {"h": "b", "u": "u2"}, "doc_count": 1}, {"key": {"h": "c", "u": "u1"}, "doc_count": 1}]}}`},
		{`{"t": {"terms": {"field": "host", "size": 1}, "aggs": {"top": {"top_hits": {"size": 1, "sort": [{"@timestamp": "desc"}], "_source": ["ms"]}}}}}`, `{"t": {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 2, "buckets": [{"key": "a", "doc_count": 3, "top": {"hits": {"total": {"value": 3, "relation": "eq"}, "max_score": null, "hits": [{"_index": "logs", "_id": "4", "_score": null, "_source": {"ms": 400.5}, "sort": [1772323390000]}]}}}]}}`},
	} {
		r, err := docsearch.Search(docs, parse[map[string]any](t, `{"size": 0, "aggs": `+c.aggs+`}`), nil, now)
		if err != nil {
			t.Errorf("%s: %v", c.aggs, err)
			continue
		}
		if want := parse[any](t, c.want); !reflect.DeepEqual(plain(t, r.Aggregations), want) {
			got, _ := json.Marshal(r.Aggregations)
			t.Errorf("%s\n got %s\nwant %s", c.aggs, got, c.want)
		}
	}
}

func TestASearchIsOrderedPagedAndCutToFields(t *testing.T) {
	t.Parallel()
	docs := requests(t)
	for _, c := range []struct{ body, ids, total string }{
		{`{}`, "1 2 3 4 5 6", "6 eq"}, {`{"size": 2, "from": 1}`, "2 3", "6 eq"}, {`{"sort": [{"@timestamp": "desc"}], "size": 2}`, "6 5", "6 eq"},
		{`{"sort": [{"ms": {"order": "asc"}}, "_doc"]}`, "6 1 3 2 4 5", "6 eq"}, {`{"sort": [{"ms": {"order": "desc", "missing": "_first"}}], "size": 2}`, "5 4", "6 eq"},
		{`{"sort": ["host", {"ms": "desc"}], "search_after": ["a", 200], "size": 2}`, "1 2", "6 eq"}, {`{"sort": ["@timestamp"], "search_after": [1772323250000], "size": 2}`, "3 4", "6 eq"},
		{`{"query": {"term": {"host": "a"}}, "post_filter": {"range": {"ms": {"gt": 100}}}}`, "3 4", "2 eq"}, {`{"track_total_hits": 3, "size": 1}`, "1", "3 gte"}, {`{"track_total_hits": true, "size": 1}`, "1", "6 eq"},
	} {
		r, err := docsearch.Search(docs, parse[map[string]any](t, c.body), nil, now)
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		var ids []string
		for _, h := range r.Hits.Hits {
			ids = append(ids, h.ID)
		}
		total := plain(t, r.Hits.Total).(map[string]any)
		if got := strings.Join(ids, " "); got != c.ids || total["value"].(json.Number).String()+" "+total["relation"].(string) != c.total {
			t.Errorf("%s finds %s of %v, want %s of %s", c.body, got, total, c.ids, c.total)
		}
	}
	source := parse[map[string]any](t, event)
	for _, c := range []struct{ filter, want string }{
		{`["level", "user.name"]`, `{"level": "ERROR", "user": {"name": "alice"}}`}, {`{"includes": ["user.*", "list"], "excludes": ["*.roles", "list.v"]}`, `{"user": {"name": "alice"}, "list": [{"k": "a"}, {"k": "b"}]}`},
		{`"dotted.name"`, `{"dotted.name": "x"}`}, {`["null"]`, `{"null": null}`},
	} {
		r, err := docsearch.Search([]docsearch.Document{{Source: source}}, parse[map[string]any](t, `{"_source": `+c.filter+`}`), nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := plain(t, r.Hits.Hits[0].Source); !reflect.DeepEqual(got, parse[any](t, c.want)) {
			t.Errorf("%s leaves %v", c.filter, got)
		}
	}
}

func TestNamedClausesSayWhichOfThemMatched(t *testing.T) {
	t.Parallel()
	r, err := docsearch.Search(requests(t), parse[map[string]any](t, `{"query": {"bool": {"should": [{"bool": {"filter": [{"term": {"host": "a"}}], "_name": "rule1"}}, {"range": {"ms": {"gte": 300, "_name": "rule2"}}}]}}}`), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, h := range r.Hits.Hits {
		got.WriteString(h.ID + ":" + strings.Join(h.Named, "+") + " ")
	}
	if want := "1:rule1 2:rule2 3:rule1 4:rule1+rule2 "; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

func TestAMappingSaysWhatAFieldIs(t *testing.T) {
	t.Parallel()
	doc := docsearch.Document{Source: parse[map[string]any](t, `{"level": "ERROR", "at": 1772364600, "day": "01.03.2026"}`)}
	m := docsearch.Mapping{"level": {Kind: docsearch.Keyword}, "at": {Kind: docsearch.Date, Time: func(v any) (time.Time, bool) {
		n, ok := v.(json.Number)
		s, _ := n.Int64()
		return time.Unix(s, 0), ok
	}}}
	for query, want := range map[string]bool{
		`{"term": {"level": "error"}}`: false, `{"term": {"level": "ERROR"}}`: true, `{"match": {"level": "error"}}`: false,
		`{"range": {"at": {"gte": 1772364600, "lt": "now"}}}`: true, `{"range": {"at": {"gt": 1772364600}}}`: false,
	} {
		q, err := docsearch.Compile(parse[map[string]any](t, query))
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Match(doc, m, now); got != want {
			t.Errorf("%s matches: %v", query, got)
		}
	}
	m = docsearch.Mapping{"level": {Kind: docsearch.Text}}
	q, err := docsearch.Compile(parse[map[string]any](t, `{"term": {"level": "ERROR"}}`))
	if err != nil || q.Match(doc, m, now) {
		t.Errorf("a text is found by what is none of its words: %v", err)
	}
}

func FuzzAnyQueryStringIsReadOrRefused(f *testing.F) {
	for _, q := range []string{`a AND (b OR -c) f:[1 TO 2} "x y"~2 /r[0-9]+/ g:>=5 h*^2 _exists_:k \\: ~`, `((`, `f:(a`, `"`, `/[/`, `*:*`, `a~0.5`, `f:{* TO *]`, `\u12`} {
		f.Add(q)
	}
	doc := docsearch.Document{Source: map[string]any{"a": "some text", "n": json.Number("5"), "f": []any{"x", true}}}
	f.Fuzz(func(t *testing.T, query string) {
		for _, kind := range []string{"query_string", "simple_query_string"} {
			q, err := docsearch.Compile(map[string]any{kind: map[string]any{"query": query}})
			if err == nil {
				q.Match(doc, nil, now)
			} else if kind == "query_string" && docsearch.ParseQueryString(query) == nil {
				t.Errorf("%q is read by itself, and not in a query: %v", query, err)
			}
		}
	})
}
