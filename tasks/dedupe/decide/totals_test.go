package decide_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// add decides of a customer and adds it up.
func add(t *decide.Totals, id string, sets ...copyOf) {
	c := customer(sets...)
	c.ID = id
	t.Add(c, decide.Decide(c, rules()))
}

func TestACustomerWhoWouldLoseTooMuchStopsTheRun(t *testing.T) {
	t.Parallel()
	var totals decide.Totals
	add(&totals, "1", copyOf{id: "a", from: 0, to: 10_000})
	for i := range 25 {
		add(&totals, fmt.Sprint("c", i), copyOf{id: "a", age: days(90), from: 0, to: 1000}, copyOf{id: "b", from: 0, to: 1000})
	}
	r := rules()
	r.MaxShare = 0.9
	if why := totals.Stop(r); why != "" {
		t.Errorf("half of a customer's data stops it: %s", why)
	}
	r.MaxShareCustomer = 0.4999
	why := totals.Stop(r)
	if !strings.HasPrefix(why, "20 customers or more would lose more than 49.9 % of their data: c0 (50.0 %), ") || !strings.HasSuffix(why, "exempt them, or raise max_share_customer") {
		t.Errorf("got %q", why)
	}
	if len(totals.Shares) != decide.MaxShares || totals.Affected != 25 {
		t.Errorf("%d of %d", len(totals.Shares), totals.Affected)
	}
}

func TestTooMuchOfAllDataStopsTheRun(t *testing.T) {
	t.Parallel()
	var totals decide.Totals
	add(&totals, "1", copyOf{id: "a", age: days(90), from: 0, to: 1000}, copyOf{id: "b", age: days(60), from: 0, to: 1000}, copyOf{id: "c", from: 0, to: 1000})
	want := "66.7 % of all data would go, and 50.0 % may. Look at the largest deletions; then exempt customers, or raise max_share"
	if why := totals.Stop(rules()); why != want {
		t.Errorf("got %q", why)
	}
	// Rows of customers that nobody had to read are a part of all.
	unread := decide.Customer{ID: "2", Sets: []decide.Set{{Database: "a", Rows: 1000}}}
	v := decide.Decide(unread, rules())
	if v.Sets[0].Reason != decide.OnlyCopy || v.Sets[0].OnlyHere != 1000 {
		t.Errorf("%+v", v.Sets[0])
	}
	totals.Add(unread, v)
	if why := totals.Stop(rules()); why != "" {
		t.Errorf("half of all stops it: %s", why)
	}
}

func TestABoundThatIsNoNumberStops(t *testing.T) {
	t.Parallel()
	var totals, nothing decide.Totals
	add(&totals, "1", copyOf{id: "a", age: days(90), from: 0, to: 30}, copyOf{id: "b", from: 0, to: 1000})
	if totals.Stop(decide.Rules{}) == "" {
		t.Error("the zero value lets everything go")
	}
	if why := nothing.Stop(decide.Rules{}); why != "" {
		t.Errorf("nothing is stopped: %s", why)
	}
}

func TestTotalsTellRowsByReasonAndSurviveBeingWritten(t *testing.T) {
	t.Parallel()
	var totals decide.Totals
	add(&totals, "1", copyOf{id: "a", age: days(90), from: 0, to: 100, more: []int{500}}, copyOf{id: "b", from: 0, to: 110, shipped: 20})
	add(&totals, "2", copyOf{id: "a", age: days(90), from: 0, to: 100}, copyOf{id: "b", from: 60, to: 200})
	want := map[decide.Reason]decide.Tally{
		decide.Duplicate:      {Sets: 1, Rows: 101, GUIDs: 101, OnlyHere: 1},
		decide.Newest:         {Sets: 2, Rows: 270, GUIDs: 250, OnlyHere: 210},
		decide.LowContainment: {Sets: 1, Rows: 100, GUIDs: 100, OnlyHere: 60},
	}
	if !reflect.DeepEqual(totals.Reasons, want) {
		t.Errorf("%+v", totals.Reasons)
	}
	if totals.Lost != 1 || totals.Of(decide.Hold).Rows != 100 || totals.Largest[0] != (decide.Deletion{Customer: "1", Database: "a", Witness: "b", Rows: 101, OnlyHere: 1}) {
		t.Errorf("%+v", totals)
	}
	text, err := json.Marshal(totals)
	if err != nil {
		t.Fatal(err)
	}
	var again decide.Totals
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, totals) {
		t.Errorf("%v %+v, want %+v", err, again, totals)
	}
}

func TestNumbersArePutIntoGroups(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -999: "-999", 2491409: "2,491,409"} {
		if got := decide.Number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
