package decide

import "fmt"

// decision is what is known while the data sets of a customer are decided of.
type decision struct {
	c        *Customer
	r        Rules
	order    []int      // the data sets by rank
	rank     []int      // from 0, by data set
	pairs    []pair     // by rank
	partners [][]int    // indexes of pairs, by data set
	of       []Decision // by data set
	goes     []bool     // by data set; known of all with a better rank than the one that is decided of
	broken   bool       // the counts contradict themselves
}

// fitness is how far a newer data set comes on its way to being the witness of an older one.
type fitness int

const (
	goesItself fitness = iota
	uploading
	holdsTooLittle
	sharesForeign
	fits
)

// candidate is a newer data set that shares enough with the one that is decided of.
type candidate struct {
	set     int
	fitness fitness
	pair    *pair
}

// decide sets the decision of a data set. The order is that which Decide promises.
func (d *decision) decide(i int, exempt bool) {
	s, now := &d.c.Sets[i], d.r.Now
	switch {
	case exempt:
		d.set(i, Exempt, "its customer is exempt")
	case len(d.c.Sets) == 1:
		d.set(i, OnlyCopy, "the only data set of its customer")
	case s.GUIDs == 0 && s.Templates > 0:
		d.set(i, TemplateOnly, fmt.Sprintf("all of its %s are template rows, which every database is shipped with: nothing to compare", counted(s.Templates, "GUID")))
	case s.GUIDs == 0:
		d.set(i, NotDuplicate, "it has no GUIDs to compare")
	case len(d.partners[i]) == 0:
		d.set(i, NotDuplicate, fmt.Sprintf("no other data set shares %s with it", counted(int64(d.r.Threshold), "GUID")))
	case d.r.clarity(s) == 2:
		d.set(i, UnknownSync, "nobody knows when it was last synced, which counts as recent")
	case d.r.clarity(s) == 1:
		d.set(i, FutureSync, fmt.Sprintf("its last sync, %s, lies in the future, which counts as recent", s.LastSync.UTC().Format("2006-01-02 15:04")))
	default:
		best, same := d.closest(i)
		switch {
		case best == nil && same >= 0:
			d.set(i, SameSync, fmt.Sprintf("it and %s were last synced at the same time: nobody knows which is newer", d.c.Sets[same].Database))
			d.of[i].Witness = d.c.Sets[same].Database
		case best == nil:
			d.set(i, Newest, "none of the data sets that it shares rows with is known to be newer")
		case now.Sub(*s.LastSync) < d.r.Recency:
			d.set(i, Recent, fmt.Sprintf("last synced %s, within the last %s", day(*s.LastSync), span(d.r.Recency)))
			d.measure(i, best)
		default:
			d.settle(i, best)
			d.measure(i, best)
		}
	}
}

func (d *decision) set(i int, reason Reason, why string) {
	d.of[i] = Decision{Database: d.c.Sets[i].Database, Decision: reason.Action(), Reason: reason, Why: why, Rank: d.rank[i] + 1}
}

// measure notes what the data set and its candidate have in common.
func (d *decision) measure(i int, best *candidate) {
	o, w := &d.of[i], &d.c.Sets[best.set]
	o.Witness, o.Shared = w.Database, best.pair.shared
	o.ContainmentVictim, o.ContainmentWitness = d.c.Sets[i].Containment(o.Shared), w.Containment(o.Shared)
}

// closest returns the newer data set that comes closest to being the witness, nil where none is newer, and one that was synced at the
// same time, -1 where there is none. Among equals it is the one that holds most, then the newest, then the first by its id.
func (d *decision) closest(i int) (best *candidate, same int) {
	same = -1
	for _, k := range d.partners[i] {
		p := &d.pairs[k]
		j := p.other(i)
		w := &d.c.Sets[j]
		if d.r.clarity(w) != 0 {
			continue
		}
		switch w.LastSync.Compare(*d.c.Sets[i].LastSync) {
		case 0:
			if same < 0 {
				same = j
			}
		case 1:
			n := &candidate{set: j, fitness: d.fitness(i, j, p), pair: p}
			// Partners come by rank, so that of two that hold the same the first one is the newer.
			if best == nil || n.fitness > best.fitness || n.fitness == best.fitness && p.shared > best.pair.shared {
				best = n
			}
		}
	}
	return best, same
}

// fitness says what keeps a newer data set from being the witness.
func (d *decision) fitness(i, j int, p *pair) fitness {
	switch {
	case d.goes[j]:
		return goesItself
	case !d.c.Sets[j].Complete:
		return uploading
	case d.c.Sets[i].Containment(p.shared) < d.r.Containment:
		return holdsTooLittle
	case p.manyForeign():
		return sharesForeign
	}
	return fits
}

// settle decides by the candidate that came furthest.
func (d *decision) settle(i int, best *candidate) {
	s, w := &d.c.Sets[i], &d.c.Sets[best.set]
	held := fmt.Sprintf("%s of its %s stand in %s", percent(best.pair.shared, s.GUIDs+s.Nulls), d.contents(i), w.Database)
	switch best.fitness {
	case goesItself:
		d.set(i, NoLiveWitness, fmt.Sprintf("%s, the newer data set that it shares %s with, goes itself, and nothing goes by way of a third", w.Database, counted(best.pair.shared, "GUID")))
	case uploading:
		d.set(i, WitnessUploading, fmt.Sprintf("%s, but the first upload of that one has not ended", held))
	case holdsTooLittle:
		d.set(i, LowContainment, fmt.Sprintf("only %s, and %s are needed: a copy that has gone its own way, or not all of it; look at both", held, share(d.r.Containment)))
	case sharesForeign:
		d.set(i, ForeignShared, fmt.Sprintf("%s, but about %s of these, by a sample, with other customers too: they may be rows that the product ships", held, percent(best.pair.foreign, best.pair.shared*1000)))
	case fits:
		if d.broken {
			d.set(i, Miscounted, fmt.Sprintf("%s, but more GUIDs were counted in its customer's signatures than there are: run the analysis again", held))
			return
		}
		d.set(i, Duplicate, fmt.Sprintf("%s, which was synced %s later", held, span(w.LastSync.Sub(*s.LastSync))))
	}
}

// contents says what the containment of a data set is a share of.
func (d *decision) contents(i int) string {
	s := &d.c.Sets[i]
	if s.Nulls == 0 {
		return counted(s.GUIDs, "GUID")
	}
	return fmt.Sprintf("%s and %s without one", counted(s.GUIDs, "GUID"), counted(s.Nulls, "row"))
}

// verdict puts the decisions into their order, when all have been made, and counts what stands nowhere else.
func (d *decision) verdict() Verdict {
	sampled := make([]bool, len(d.of))
	for i := range d.of {
		sampled[i] = d.of[i].Decision != Keep
	}
	only, samples, lost := leftAlone(d.c, d.goes, sampled)
	v := Verdict{Sets: make([]Decision, 0, len(d.of)), Pairs: make([]Pair, 0, len(d.pairs)), Lost: lost}
	for _, i := range d.order {
		o := d.of[i]
		o.OnlyHere, o.Samples = max(only[i], 0), samples[i]
		if o.Decision == Delete {
			o.Why += nowhereElse(o.OnlyHere)
		}
		v.Sets = append(v.Sets, o)
	}
	for k := range d.pairs {
		p := &d.pairs[k]
		a, b := &d.c.Sets[p.a], &d.c.Sets[p.b]
		v.Pairs = append(v.Pairs, Pair{A: a.Database, B: b.Database, Shared: p.shared, ContainmentA: a.Containment(p.shared), ContainmentB: b.Containment(p.shared), Why: d.whyPair(p)})
	}
	return v
}

func nowhereElse(n int64) string {
	if n == 0 {
		return "; all of it stands in data sets that stay"
	}
	return fmt.Sprintf("; %s of it in no data set that stays", counted(n, "row"))
}

// whyPair says what follows from two data sets having so much in common.
func (d *decision) whyPair(p *pair) string {
	a, b := &d.of[p.a], &d.of[p.b]
	switch {
	case b.Decision == Delete && b.Witness == a.Database:
		return fmt.Sprintf("%s goes, %s is its witness", b.Database, a.Database)
	case a.Decision == Delete && b.Decision == Delete:
		return fmt.Sprintf("both go: %s by %s, %s by %s", a.Database, a.Witness, b.Database, b.Witness)
	case b.Decision == Delete:
		return fmt.Sprintf("%s goes, by %s", b.Database, b.Witness)
	case a.Decision == Delete:
		return fmt.Sprintf("%s stays (%s); %s goes, by %s", b.Database, b.Reason, a.Database, a.Witness)
	}
	return fmt.Sprintf("both stay: %s (%s), %s (%s)", a.Database, a.Reason, b.Database, b.Reason)
}
