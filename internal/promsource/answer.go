package promsource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/tasks"
)

// maxBody is how many bytes an answer may have.
const maxBody = 32 << 20

// maxBusy bounds how long a server may ask to wait.
const maxBusy = 10 * time.Minute

// errTooLarge: the answer has more than maxBody bytes, or the server has said that it would be too many samples.
var errTooLarge = errors.New("the answer is too large")

// answer is what the API says.
type answer struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	IsPartial bool     `json:"isPartial"` // VictoriaMetrics
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// series is an entry of a matrix.
type series struct {
	labels map[string]string
	id     string
	points []point
}

// point is a value at a time, in milliseconds since 1970.
type point struct {
	ms    int64
	value float64
}

// UnmarshalJSON reads [SECONDS, "VALUE"].
func (p *point) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil {
		return fmt.Errorf("%s is no time", shown(string(pair[0])))
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return fmt.Errorf("%s is no value", shown(string(pair[1])))
	}
	p.ms = int64(math.Round(seconds * 1000))
	if p.value, err = strconv.ParseFloat(text, 64); err != nil && !math.IsInf(p.value, 0) {
		return fmt.Errorf("%q is no value", shown(text))
	}
	return nil
}

// matrix asks for a range, in milliseconds since 1970.
func (c *Client) matrix(ctx context.Context, query string, start, end, step int64) ([]series, error) {
	a, err := c.ask(ctx, "/api/v1/query_range", url.Values{"query": {query}, "start": {seconds(start)}, "end": {seconds(end)}, "step": {seconds(step)}})
	if err != nil {
		return nil, err
	}
	if a.Data.ResultType != "matrix" {
		return nil, fmt.Errorf("%s answers a range with %q", c.shown, shown(a.Data.ResultType))
	}
	var result []struct {
		Metric     map[string]string `json:"metric"`
		Values     []point           `json:"values"`
		Histograms json.RawMessage   `json:"histograms"`
	}
	if err := json.Unmarshal(a.Data.Result, &result); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.shown, err)
	}
	all := make([]series, len(result))
	for i, r := range result {
		if r.Histograms != nil {
			return nil, tasks.Permanent(tasks.WithHint(nil, "make numbers of them: histogram_quantile, histogram_count, histogram_avg", "the query gives native histograms"))
		}
		for j, p := range r.Values {
			if p.ms < start || p.ms > end || (p.ms-start)%step != 0 || j > 0 && p.ms <= r.Values[j-1].ms {
				return nil, fmt.Errorf("%s answers with a value at %s, which was not asked for", c.shown, time.UnixMilli(p.ms).UTC().Format(time.RFC3339Nano))
			}
		}
		all[i] = series{labels: r.Metric, id: seriesID(r.Metric), points: r.Values}
	}
	return all, nil
}

// seconds writes milliseconds as the decimal number of seconds that the API reads.
func seconds(ms int64) string {
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	return fmt.Sprintf("%s%d.%03d", sign, ms/1000, ms%1000)
}

// ask sends a request and returns a whole answer. What must not be left out is said in the words of Thanos and of VictoriaMetrics;
// others do not look at them.
func (c *Client) ask(ctx context.Context, path string, form url.Values) (*answer, error) {
	form.Set("partial_response", "false")
	form.Set("deny_partial_response", "1")
	status, header, body, err := c.send(ctx, http.MethodPost, path, form)
	if err == nil && (status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented) {
		status, header, body, err = c.send(ctx, http.MethodGet, path, form) // a proxy that lets reading through alone
	}
	if err != nil {
		return nil, err
	}
	var a answer
	bad := json.Unmarshal(body, &a)
	if status != http.StatusOK || bad == nil && a.Status != "success" {
		return nil, c.refused(status, header, a, body)
	}
	if bad != nil {
		return nil, tasks.WithHint(bad, "does the URL lead to a Prometheus, with its prefix?", "%s answers with what is no answer of a Prometheus", c.shown)
	}
	if a.IsPartial {
		return nil, tasks.WithHint(nil, "bring its storage nodes back", "%s answers in part", c.shown)
	}
	for _, w := range a.Warnings {
		if !strings.HasPrefix(w, "PromQL info:") { // a remark on the expression, which some versions put here
			return nil, tasks.WithHint(nil, "an answer with a warning may lack series, so it is not believed; bring back what it names, or change the query",
				"%s warns: %s", c.shown, shown(w))
		}
	}
	return &a, nil
}

// send sends a request once.
func (c *Client) send(ctx context.Context, method, path string, form url.Values) (status int, header http.Header, body []byte, err error) {
	at := c.base.JoinPath(path)
	var content io.Reader
	if method == http.MethodGet {
		at.RawQuery = form.Encode()
	} else {
		content = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), content)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header = c.headers.Clone()
	if content != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "stint")
	if password, ok := c.user.Password(); ok || c.user.Username() != "" {
		req.SetBasicAuth(c.user.Username(), password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, c.maxBody+1))
	switch {
	case err != nil:
		return 0, nil, nil, c.unreachable(ctx, fmt.Errorf("the answer breaks off: %w", err))
	case int64(len(body)) > c.maxBody:
		return 0, nil, nil, tasks.Permanent(tasks.WithHint(errTooLarge, "let the query give fewer series: sum by (...), topk", "%s answers with more than %d MiB for one point in time",
			c.shown, c.maxBody>>20))
	}
	return resp.StatusCode, resp.Header, body, nil
}

// refused makes an error of an answer that is none.
func (c *Client) refused(status int, header http.Header, a answer, body []byte) error {
	said := shown(a.Error)
	if said == "" {
		said = firstLine(body)
	}
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return tasks.RetryAfter(tasks.WithHint(nil, "nothing is lost; the window is asked for again", "%s is busy or away (%d): %s", c.shown, status, said), patience(header))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return tasks.WithHint(nil, "check user and password, or the token, of the connection", "%s does not let us in (%d): %s", c.shown, status, said)
	case status >= 300 && status < 400:
		return tasks.WithHint(nil, "write the address that it leads to into the connection", "%s leads elsewhere (%d): %s", c.shown, status, shown(header.Get("Location")))
	case strings.Contains(said, "would load too many samples"):
		return tasks.WithHint(errTooLarge, "raise --query.max-samples of the server, or let the query read less", "%s cannot answer the query: %s", c.shown, said)
	case a.ErrorType == "bad_data":
		return tasks.Permanent(tasks.WithHint(nil, "try the expression in the web page of the server", "%s does not understand the query: %s", c.shown, said))
	case a.ErrorType != "":
		return tasks.WithHint(nil, "try the expression in the web page of the server", "%s cannot answer the query (%s): %s", c.shown, shown(a.ErrorType), said)
	case status == http.StatusNotFound:
		return tasks.WithHint(nil, "check the prefix in the URL of the connection: the API is at PREFIX/api/v1", "%s has no API of a Prometheus (404)", c.shown)
	}
	return tasks.WithHint(nil, "does the URL lead to a Prometheus, with its prefix?", "%s answers with status %d: %s", c.shown, status, said)
}

// firstLine returns the beginning of a body that is no JSON.
func firstLine(body []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	return report.Plain(strings.ToValidUTF8(string(line[:min(len(line), 200)]), ""))
}

// shown is a server's text as people may be shown it.
func shown(text string) string {
	if len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "") + "..."
	}
	return report.Plain(text)
}

// patience reads how long the server asks to wait; a second when it does not say.
func patience(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	wait := time.Second
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		wait = time.Duration(min(n, int(maxBusy/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = max(time.Until(at), wait)
	}
	return min(wait, maxBusy)
}
