package record_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// copies is a customer with an old copy that lacks so many of its thousand GUIDs in the new one.
func copies(id string, age int, lacks int64) decide.Customer {
	return decide.Customer{
		ID: id, Sets: []decide.Set{
			{Database: "old", LastSync: at(age), Complete: true, Rows: 1000, GUIDs: 1000},
			{Database: "new", LastSync: at(1), Complete: true, Rows: 1200, GUIDs: 1200},
		},
		Signatures: []decide.Signature{{Sets: []int{0}, GUIDs: lacks, Samples: []string{guid(1)}}, {Sets: []int{0, 1}, GUIDs: 1000 - lacks}, {Sets: []int{1}, GUIDs: 200 + lacks}},
	}
}

// orders reads the orders of an analysis, as customer/database.
func orders(text []byte, limit int) (first, over []string, err error) {
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	f, o, err := record.Orders(r, limit)
	for _, x := range f {
		first = append(first, x.Customer+"/"+x.Set.Database)
	}
	for _, x := range o {
		over = append(over, x.Customer+"/"+x.Set.Database)
	}
	return first, over, err
}

func TestTheSurestDeletionsComeFirstAndTheLimitCutsTheRest(t *testing.T) {
	t.Parallel()
	text, _, _ := analysis(t, header(), copies("a", 30, 10), copies("b", 30, 0), copies("c", 60, 10), copies("d", 30, 10), copies("e", 30, 500))
	all := []string{"b/old", "c/old", "a/old", "d/old"}
	for limit := -1; limit <= 5; limit++ {
		first, over, err := orders(text, limit)
		n := min(max(limit, 0), 4)
		if err != nil || fmt.Sprint(first) != fmt.Sprint(all[:n]) || fmt.Sprint(over) != fmt.Sprint(all[n:]) {
			t.Errorf("limit %d: %v, %v, %v", limit, first, over, err)
		}
	}
}

func TestAnOrderHasWhatTheCheckBeforeTheDeletionComparesWith(t *testing.T) {
	t.Parallel()
	text, _, _ := analysis(t, header(), customers()...)
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := record.Orders(r, 10)
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	o, want := first[1], customers()[0].Sets[0]
	if o.Customer != "17" || o.Witness != "1003" || o.Shared != 3000 || o.OnlyHere != 20 || o.Set.Fingerprint != want.Fingerprint || !o.Set.LastSync.Equal(*want.LastSync) || o.Containment != 3000.0/3020 {
		t.Errorf("%+v", o)
	}
}

func TestNothingIsOrderedOfAnAnalysisThatIsStopped(t *testing.T) {
	t.Parallel()
	h := header()
	h.Rules.MaxShareCustomer = 0.1
	text, _, _ := analysis(t, h, copies("a", 30, 10))
	if first, over, err := orders(text, 1); !errors.Is(err, record.ErrStopped) || first != nil || over != nil || !strings.Contains(err.Error(), "1 customer would lose more than 10.0 % of their data: a (45.5 %)") {
		t.Errorf("%v %v %v", first, over, err)
	}
}

func TestNothingIsOrderedOfAFileThatContradictsItselfWhoeverHasWrittenIt(t *testing.T) {
	t.Parallel()
	text, _, _ := analysis(t, header(), copies("a", 30, 10), copies("b", 30, 10))
	if _, _, err := orders(sealed(string(text)), 1); err != nil {
		t.Fatalf("sealed anew it is whole: %v", err)
	}
	for name, change := range map[string][2]string{
		"the witness is another customer's":       {`"witness":"new"`, `"witness":"other"`},
		"the witness was not synced later":        {`"last_sync":"2026-11-21`, `"last_sync":"2026-10-21`},
		"nobody knows when the victim was synced": {`"last_sync":"2026-10-23T06:00:00Z",`, ``},
		"the witness is not whole":                {`"complete":true`, `"complete":false`},
		"a data set is there twice":               {`"database":"old"`, `"database":"new"`},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if changed == string(text) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if first, over, err := orders(sealed(changed), 1); !errors.Is(err, record.ErrForm) || first != nil || over != nil {
			t.Errorf("%s: %v, %v, %v", name, first, over, err)
		}
	}
}

// sealed gives a file the digest that fits it.
func sealed(text string) []byte {
	last := strings.LastIndexByte(text[:len(text)-1], '\n') + 1
	sum := sha256.Sum256([]byte(text[:last]))
	at := strings.LastIndex(text, `"sha256":"`) + len(`"sha256":"`)
	return []byte(text[:at] + hex.EncodeToString(sum[:]) + text[at+64:])
}
