package datasetstest

import (
	"math/rand/v2"
	"time"
)

// maker decides what is in a store.
type maker struct {
	spec     Spec
	rng      *rand.Rand
	truth    *Truth
	database int64  // the last id
	pool     uint64 // the last one
	edition  map[int64]bool
}

const day = 24 * time.Hour

// Plan says what a store would hold, without making it.
func Plan(spec Spec) *Truth {
	spec = spec.withDefaults()
	m := &maker{spec: spec, rng: rand.New(rand.NewPCG(spec.Seed, 25)), truth: &Truth{Now: spec.Now}, database: 10_000,
		pool: spec.Seed << 40, edition: map[int64]bool{}}
	sum := 0.0
	for k := range spec.Customers {
		sum += 1 / float64(k+1)
	}
	for k := range spec.Customers {
		customer := int64(1001 + k)
		m.edition[customer] = k%editionCustomers == 7 || k < 3 // three at least, so that they are known for what they are
		m.customer(customer, int(float64(spec.Rows)/sum/float64(k+1)))
	}
	m.traps()
	m.truth.sort()
	return m.truth
}

func (s Spec) withDefaults() Spec {
	for _, x := range []struct {
		value   *int
		without int
	}{{&s.Customers, 60}, {&s.Rows, 20_000}, {&s.Payload, 100}, {&s.Children, 10}} {
		if *x.value == 0 {
			*x.value = x.without
		}
	}
	if s.Now.IsZero() {
		s.Now = time.Now()
	}
	s.Now = s.Now.UTC().Truncate(time.Millisecond)
	return s
}

// customer makes the databases of a customer: up to four, of which three in ten were uploaded again, some more than once.
func (m *maker) customer(customer int64, rows int) {
	databases := 1 + m.rng.IntN(4)
	copies := make([]int, databases)
	shares := 0
	for i := range copies {
		for m.rng.IntN(10) < 3 && copies[i] < 3 {
			copies[i]++
		}
		shares += 1 + copies[i]
	}
	for i := range copies {
		n := max(120, rows/shares-forAll)
		if n > 400 { // no two alike
			n -= m.rng.IntN(n / 8)
		}
		pool := m.newPool()
		for upload := range copies[i] + 1 {
			what, age := "copy", m.age(0, 6*day)
			if upload == 0 {
				what = "original"
			}
			if upload < copies[i] {
				age = time.Duration(copies[i]-upload)*400*day + m.age(0, 380*day) + 8*day
				if m.rng.IntN(20) == 0 {
					age = 6*day + m.age(0, day/2) // the client has only just registered again
				}
			}
			// What was uploaded again lacks the oldest rows, and has new ones.
			m.add(customer, what, &age, true, Segment{pool, upload * n / 100, n + upload*n/50})
		}
	}
}

// traps plants what leads a careless rule astray, each in a customer of its own as far as there are enough.
func (m *maker) traps() {
	c := m.spec.Customers
	at := int64(0)
	next := func() int64 { // large customers stay as they are, and those with more template rows
		for range c {
			at++
			if customer := 1001 + int64(c/3) + at%int64(max(1, c-c/3)); !m.edition[customer] {
				return customer
			}
		}
		return 1001
	}
	recent, old := func() *time.Duration { a := m.age(0, 5*day); return &a }, func() *time.Duration { a := m.age(10*day, 300*day); return &a }
	for range max(1, c/35) { // lived apart since
		customer, pool, n := next(), m.newPool(), 500
		m.add(customer, "fork", old(), true, Segment{pool, 0, n})
		m.add(customer, "fork", recent(), true, Segment{pool, 0, n * 2 / 5}, Segment{m.newPool(), 0, n * 3 / 5})
	}
	for i := range max(6, c/66) { // with template rows the last three are 24 to 26, without them the first
		shared := []int{24, 25, 26, 4, 5, 6}[i%6]
		customer, pool := next(), m.newPool()
		m.add(customer, "border", old(), true, Segment{pool, 0, 300})
		m.add(customer, "border", recent(), true, Segment{pool, 300 - shared, 600})
	}
	for range max(1, c/200) { // A~B~C, and not A~C
		customer, pool := next(), m.newPool()
		for i, age := range []*time.Duration{old(), old(), recent()} {
			m.add(customer, "chain", age, true, Segment{pool, i * 270, i*270 + 300})
		}
	}
	for range max(1, c/200) { // registered again a moment ago
		customer, pool := next(), m.newPool()
		age := time.Hour
		m.add(customer, "half", old(), true, Segment{pool, 0, 3000})
		m.add(customer, "half", &age, false, Segment{pool, 0, 90})
	}
	for i := range max(3, c/6) {
		age := old()
		switch i {
		case 1:
			age = nil
		case 2:
			future := -30 * day
			age = &future
		}
		m.add(next(), "dormant", age, true, Segment{m.newPool(), 0, 150})
	}
}

// add adds a data set with the template rows of its customer.
func (m *maker) add(customer int64, what string, age *time.Duration, complete bool, segments ...Segment) {
	m.database++
	d := DataSet{Customer: customer, Database: m.database, What: what, Complete: complete, Segments: segments}
	if age != nil {
		at := m.spec.Now.Add(-*age)
		d.LastSync = &at
	}
	shipped := forAll
	if m.edition[customer] {
		shipped = withEdition
	}
	d.Segments = append(d.Segments, Segment{templates, 0, shipped})
	m.truth.Sets = append(m.truth.Sets, d)
}

func (m *maker) newPool() uint64 {
	m.pool++
	return m.pool
}

// age returns a time ago, to the millisecond.
func (m *maker) age(from, to time.Duration) time.Duration {
	return (from + time.Duration(m.rng.Int64N(int64(to-from)))).Truncate(time.Millisecond)
}
