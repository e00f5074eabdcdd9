package decide

import (
	"slices"
	"strings"
)

// pair is two data sets that share enough, by their indexes: a has the better rank.
type pair struct {
	a, b    int
	shared  int64
	foreign int64 // of shared, in thousandths, those that stand with other customers too: estimated
}

// manyForeign reports whether more stand with other customers than ForeignShare.
func (p *pair) manyForeign() bool { return float64(p.foreign) > ForeignShare*1000*float64(p.shared) }

// other returns the partner of a data set.
func (p *pair) other(i int) int {
	if p.a == i {
		return p.b
	}
	return p.a
}

// holding is a signature that a data set is in, and its place there.
type holding struct{ signature, place int32 }

// findPairs expands each signature once for each two of its data sets, whatever number of GUIDs it stands for, and adds up. Each data
// set in its turn counts those with a greater index in one row, so that memory is that of the signatures and of the pairs found.
func findPairs(c *Customer, threshold int64, rank []int) []pair {
	n := len(c.Sets)
	begin := make([]int, n+1) // of each data set's part of holders
	for _, s := range c.Signatures {
		for _, i := range s.Sets {
			begin[i+1]++
		}
	}
	for i := range n {
		begin[i+1] += begin[i]
	}
	holders := make([]holding, begin[n])
	next := slices.Clone(begin)
	for k, s := range c.Signatures {
		for place, i := range s.Sets {
			holders[next[i]] = holding{int32(k), int32(place)}
			next[i]++
		}
	}
	var pairs []pair
	shared, foreign := make([]int64, n), make([]int64, n)
	for i := range n {
		clear(shared)
		clear(foreign)
		for _, h := range holders[begin[i]:begin[i+1]] {
			s := &c.Signatures[h.signature]
			abroad := c.Foreign[int(h.signature)].thousandths(s.GUIDs)
			rest := s.Sets[h.place+1:]
			for _, j := range rest {
				shared[j] += s.GUIDs
			}
			if abroad > 0 {
				for _, j := range rest {
					foreign[j] += abroad
				}
			}
		}
		for j := i + 1; j < n; j++ {
			if shared[j] < threshold {
				continue
			}
			p := pair{a: i, b: j, shared: shared[j], foreign: foreign[j]}
			if rank[j] < rank[i] {
				p.a, p.b = j, i
			}
			pairs = append(pairs, p)
		}
	}
	slices.SortFunc(pairs, func(x, y pair) int {
		if rank[x.a] != rank[y.a] {
			return rank[x.a] - rank[y.a]
		}
		return rank[x.b] - rank[y.b]
	})
	return pairs
}

// miscounted reports whether the signatures speak of more GUIDs of a data set than it has: then containments would be too high.
func miscounted(c *Customer) bool {
	counted := make([]int64, len(c.Sets))
	for _, s := range c.Signatures {
		for _, i := range s.Sets {
			counted[i] += s.GUIDs
		}
	}
	for i := range c.Sets {
		if counted[i] > c.Sets[i].GUIDs {
			return true
		}
	}
	return false
}

// leftAlone finds what stands in no other data set that stays, for each one, with samples for those that want them, and what is lost
// of all. GUIDs of which no signature speaks are taken to stand in their data set alone.
func leftAlone(c *Customer, goes, sampled []bool) (only []int64, samples [][]string, lost int64) {
	only, samples = make([]int64, len(c.Sets)), make([][]string, len(c.Sets))
	for i := range c.Sets {
		only[i] = c.Sets[i].GUIDs + c.Sets[i].Nulls
		if c.Sets[i].unread() {
			only[i] = c.Sets[i].Rows
		}
		if goes[i] {
			lost += c.Sets[i].Nulls
		}
	}
	for _, s := range c.Signatures {
		staying, last := 0, -1
		for _, i := range s.Sets {
			if !goes[i] {
				staying, last = staying+1, i
			}
		}
		if staying == 0 {
			lost += s.GUIDs
		}
		for _, i := range s.Sets {
			if staying == 0 || staying == 1 && i == last {
				if sampled[i] {
					samples[i] = takeSamples(samples[i], s.Samples)
				}
				continue
			}
			only[i] -= s.GUIDs
		}
	}
	lost += unspoken(c, goes)
	for i := range samples {
		samples[i] = leastOf(samples[i])
	}
	return only, samples, lost
}

// unspoken counts the GUIDs of data sets that go of which no signature speaks.
func unspoken(c *Customer, goes []bool) (n int64) {
	for i := range c.Sets {
		if goes[i] {
			n += c.Sets[i].GUIDs
		}
	}
	for _, s := range c.Signatures {
		for _, i := range s.Sets {
			if goes[i] {
				n -= s.GUIDs
			}
		}
	}
	return max(n, 0)
}

// takeSamples collects samples, and now and then lets go of those that will not be among the first.
func takeSamples(have, more []string) []string {
	if have = append(have, more...); len(have) > 64*MaxSamples {
		have = slices.Clone(leastOf(have))
	}
	return have
}

// leastOf returns the first samples in their own order, which does not depend on that of the signatures.
func leastOf(samples []string) []string {
	slices.SortFunc(samples, strings.Compare)
	samples = slices.Compact(samples)
	return samples[:min(len(samples), MaxSamples)]
}
