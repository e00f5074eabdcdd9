package flatfile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// benchmarkFiles are 100,000 rows of eight columns in each form.
func benchmarkFiles() (csv, quoted, ndjson, table string) {
	r := rand.New(rand.NewPCG(1, 2))
	var c, q, j strings.Builder
	head := "id,name,city,zip,amount,created,active,note\n"
	c.WriteString(head)
	q.WriteString(head)
	d := dbf{version: 0x03, mark: 0x03, fields: []dbfField{{"ID", 'N', 8, 0, 0}, {"NAME", 'C', 20, 0, 0}, {"CITY", 'C', 12, 0, 0}, {"ZIP", 'C', 5, 0, 0},
		{"AMOUNT", 'N', 10, 2, 0}, {"CREATED", 'D', 8, 0, 0}, {"ACTIVE", 'L', 1, 0, 0}, {"NOTE", 'C', 24, 0, 0}}}
	for i := range 100_000 {
		name, amount := fmt.Sprintf("Customer %d", r.IntN(1e6)), fmt.Sprintf("%d.%02d", r.IntN(1e5), r.IntN(100))
		fmt.Fprintf(&c, "%d,%s,Melbourne,3000,%s,2024-02-29 10:00:00,true,some words about it\n", i, name, amount)
		fmt.Fprintf(&q, "%d,\"%s\",\"Melbourne\",\"3000\",%s,\"2024-02-29 10:00:00\",true,\"some \"\"words\"\" about it\"\n", i, name, amount)
		fmt.Fprintf(&j, `{"id":%d,"name":"%s","city":"Melbourne","zip":"3000","amount":%s,"created":"2024-02-29 10:00:00","active":true,"note":"some \"words\" about it"}`+"\n", i, name, amount)
		d.records = append(d.records, fmt.Sprintf(" %8d%-20s%-12s%-5s%10s%sT%-24s", i, name, "Melbourne", "3000", amount, "20240229", "some words about it"))
	}
	return c.String(), q.String(), j.String(), d.String()
}

// cpuTime is the time that this process has had on a processor: what a busy machine does not change.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead reads all cells of all rows. A million rows a second are 1,000 cpu-ns/row.
func BenchmarkRead(b *testing.B) {
	plain, quoted, ndjson, records := benchmarkFiles()
	for _, c := range []struct{ name, url, file, content string }{
		{"csv", "csv:%s", "t.csv", plain},
		{"csv cp1252", "csv:%s?encoding=cp1252", "t.csv", plain},
		{"csv infer", "csv:%s?types=infer", "t.csv", plain},
		{"csv quoted", "csv:%s", "t.csv", quoted},
		{"ndjson", "ndjson:%s", "t.ndjson", ndjson},
		{"dbf", "dbf:%s", "t.dbf", records},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := open(b, fmt.Sprintf(c.url, folder(b, map[string]string{c.file: c.content})))
			tab := table(b, f, "t")
			columns := make([]int, len(tab.Columns))
			for i := range columns {
				columns[i] = i
			}
			cells := make([]sqldb.Cell, len(columns)+2)
			b.SetBytes(int64(len(c.content)))
			b.ReportAllocs()
			rows, before := 0, cpuTime(b)
			for b.Loop() {
				r, err := f.Read(context.Background(), tab, columns, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				for {
					ok, err := r.Next(cells)
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						break
					}
					rows++
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(rows), "cpu-ns/row")
		})
	}
}

// BenchmarkBoundaries finds the borders of chunks of 5,000 rows.
func BenchmarkBoundaries(b *testing.B) {
	plain, quoted, _, _ := benchmarkFiles()
	for name, content := range map[string]string{"csv": plain, "csv quoted": quoted} {
		b.Run(name, func(b *testing.B) {
			f := open(b, "csv:"+folder(b, map[string]string{"t.csv": content}))
			tab := table(b, f, "t")
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				keys, err := borders(f, tab, 5000, 100)
				if err != nil || len(keys) != 19 {
					b.Fatal(len(keys), err)
				}
			}
		})
	}
}
