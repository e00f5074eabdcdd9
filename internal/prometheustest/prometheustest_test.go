package prometheustest

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAServerHasTheSamplesThatATestSays(t *testing.T) {
	t.Parallel()
	at := New(t, Options{Metrics: "# TYPE up gauge\nup{job=\"a\"} 1 1700000000\nup{job=\"a\"} 0 1700000015\n# EOF\n"})
	resp, err := http.Get("http://" + at + "/api/v1/query_range?query=up&start=1700000000&end=1700000015&step=15")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"values":[[1700000000,"1"],[1700000015,"0"]]`) {
		t.Errorf("the server answers %s, %v", body, err)
	}
}
